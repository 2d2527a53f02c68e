"""The evaluate stage: test metrics in results.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace
from torch import nn

from sparsenas.core.arch import Arch
from sparsenas.job.task import Task
from sparsenas.job.trained import found, inherited, trained
from sparsenas.nn.recalibration import recalibrate
from sparsenas.objectives.words import score_told
from sparsenas.rundir.folder import Run
from sparsenas.rundir.logger import RunLogger
from sparsenas.rundir.networks import NET, provenance
from sparsenas.rundir.results import ORIGINAL, Compared, Evaluation, results, update_results
from sparsenas.searching.config import Scoring
from sparsenas.training.evaluation import evaluate


def evaluate_stage(run: Run, task: Task, scoring: Scoring) -> None:
    """Tests the found network on inherited and on retrained weights; each once in a run.

    A network trained in one stage has no other weights than those of the search.
    """
    known, arch = results(run), found(run, task.choices)
    if known.inherited is None and not provenance(run).one_stage:
        update_results(run, inherited=_tested(task, recalibrated(run, task, arch, scoring)))
    test_trained(run, task, None)


def test_trained(run: Run, task: Task, recipe: Mapping[str, Any] | None) -> None:
    """Tests the network of net.pt, and the network that was opened; each once in a run.

    ``recipe`` are the flags of the retraining where config.yaml has others, or none.
    """
    known = results(run)
    if known.retrained is None:
        how, tested = provenance(run), _tested(task, trained(run, task).to(task.data.device))
        made = replace(tested, one_stage=how.one_stage, inherit=how.inherit, recipe=dict(recipe) if recipe else None)
        update_results(run, retrained=made)
        RunLogger(run).say(f"{NET}: {score_told(task.objective, tested.metrics)} on test examples")
    if known.original is None and task.opened is not None:
        update_results(run, original=_original(task))


def _tested(task: Task, net: nn.Module) -> Evaluation:
    metrics, confusion = evaluate(net, task.data, task.data.test, task.objective)
    return Evaluation(split="test", metrics=metrics, confusion=None if confusion is None else confusion.tolist())


def _original(task: Task) -> Compared:
    """The network that was opened, with the weights it came with."""
    arch = task.largest()
    metrics = evaluate(task.original(), task.data, task.data.test, task.objective).metrics
    return Compared(name=ORIGINAL, text=arch.text(), arch=arch.to_json(), costs=task.costs(arch), metrics=metrics)


def recalibrated(run: Run, task: Task, arch: Arch, scoring: Scoring) -> nn.Module:
    """The plain network of an architecture on the supernet's weights, its batch norm recalibrated."""
    net = inherited(run, task, arch).to(task.data.device)
    recalibrate(net, task.eval_batches(scoring).calibration)
    return net.eval()
