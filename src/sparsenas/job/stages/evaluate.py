"""The evaluate stage: test metrics in results.json."""

from __future__ import annotations

from msgspec.structs import replace
from torch import nn

from sparsenas.core.arch import Arch
from sparsenas.job.task import Task
from sparsenas.job.trained import found, inherited, trained
from sparsenas.nn.recalibration import recalibrate
from sparsenas.rundir.folder import Run
from sparsenas.rundir.networks import provenance
from sparsenas.rundir.results import Evaluation, results, update_results
from sparsenas.searching.config import Scoring
from sparsenas.training.evaluation import evaluate


def evaluate_stage(run: Run, task: Task, scoring: Scoring) -> None:
    """Tests the found network on inherited and on retrained weights; each once in a run.

    A network trained in one stage has no other weights than those of the search.
    """
    known, arch, one_stage = results(run), found(run, task.choices), provenance(run).one_stage
    if known.inherited is None and not one_stage:
        update_results(run, inherited=_tested(task, recalibrated(run, task, arch, scoring)))
    if known.retrained is None:
        net = trained(run, task).to(task.data.device)
        update_results(run, retrained=replace(_tested(task, net), one_stage=one_stage))


def _tested(task: Task, net: nn.Module) -> Evaluation:
    metrics, confusion = evaluate(net, task.data, task.data.test, task.objective)
    return Evaluation(split="test", metrics=metrics, confusion=None if confusion is None else confusion.tolist())


def recalibrated(run: Run, task: Task, arch: Arch, scoring: Scoring) -> nn.Module:
    """The plain network of an architecture on the supernet's weights, its batch norm recalibrated."""
    net = inherited(run, task, arch).to(task.data.device)
    recalibrate(net, task.eval_batches(scoring).calibration)
    return net.eval()
