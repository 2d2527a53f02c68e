"""The evaluate stage: test accuracies in results.json."""

from __future__ import annotations

from msgspec.structs import replace
from torch import nn

from sparsenas.core.arch import Arch
from sparsenas.core.derive import derive
from sparsenas.job.task import Task, found, inherited_gates, trained
from sparsenas.nn.recalibration import recalibrate
from sparsenas.rundir.provenance import provenance
from sparsenas.rundir.results import Evaluation, results, update_results
from sparsenas.searching.config import Scoring
from sparsenas.searching.eval_batches import EvalBatches
from sparsenas.training.evaluation import evaluate


def evaluate_stage(task: Task, scoring: Scoring) -> None:
    """Tests the found network on inherited and on retrained weights; each once in a run.

    What was trained in one stage has no weights but those of the search.
    """
    known, arch, one_stage = results(task.run), found(task), provenance(task.run).one_stage
    if known.inherited is None and not one_stage:
        net = inherited(task, arch, task.eval_batches(scoring))
        update_results(task.run, inherited=_tested(task, net))
    if known.retrained is None:
        net = trained(task).to(task.data.test.labels.device)
        update_results(task.run, retrained=replace(_tested(task, net), one_stage=one_stage))


def _tested(task: Task, net: nn.Module) -> Evaluation:
    marks = evaluate(net, task.data, task.data.test)
    return Evaluation(split="test", accuracy=marks["accuracy"], loss=marks["loss"])


def inherited(task: Task, arch: Arch, eval_batches: EvalBatches) -> nn.Module:
    """The plain network of an architecture on the supernet's weights, its batch norm recalibrated."""
    supernet = task.network("supernet")
    task.run.restore("supernet.pt", net=supernet)
    net = derive(supernet, inherited_gates(task, arch)).to(task.data.test.labels.device)
    recalibrate(net, eval_batches.calibration)
    return net.eval()
