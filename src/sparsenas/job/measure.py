"""Measuring what a run folder has: the metrics of its networks, and how well its scores rank architectures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from sparsenas.errors import check_at_least
from sparsenas.exporting import onnx_network
from sparsenas.job.flag_groups import AS_IN_THE_RUN, HERE, DataPlace, ScoreOrder
from sparsenas.job.folder import check_data, open_task
from sparsenas.job.named_archs import FOUND, named_arch
from sparsenas.job.stages.evaluate import recalibrated
from sparsenas.job.stages.rank import cost_measures, sampled, scorings, supernet_measures
from sparsenas.job.stages.truth import known_archs, truth_stage
from sparsenas.job.trained import found, trained
from sparsenas.objectives import Metrics, Objective
from sparsenas.reporting import report
from sparsenas.rundir.logger import RunLogger
from sparsenas.rundir.networks import INT8, NET, ONNX, SUPERNET
from sparsenas.rundir.ranking import Ranking
from sparsenas.rundir.truth import Truth
from sparsenas.searching.benchmark_table import load_benchmark_table
from sparsenas.training.evaluation import evaluate, evaluate_function


class Measured(NamedTuple):
    """How good a network is on one part of the data."""

    network: str
    split: str
    examples: int
    metrics: Metrics
    objective: Objective


def metrics_of(
    run: Path,
    device: torch.device,
    arch: str | None = None,
    onnx: bool = False,
    split: str = "test",
    trusted: Sequence[str] = (),
    place: DataPlace = HERE,
    int8: bool = False,
) -> Measured:
    """The metrics of a run's trained network, of its ONNX file, or of an architecture on inherited weights.

    With ``int8`` the ONNX file is that of 8 bits.
    Raises ``UserError``.
    """
    folder, task, flags, *_ = open_task(run, device, trusted, place)
    examples = {"test": task.data.test, "val": task.data.val}[split]
    if onnx or int8:
        what = INT8 if int8 else ONNX
        tested = evaluate_function(onnx_network(folder, what), task.data, examples, task.objective)
    elif arch is not None:
        chosen = found(folder, task.choices) if arch == FOUND else named_arch(task.limits.table, arch)
        net = recalibrated(folder, task, chosen, flags.score)
        what = f"{chosen.text()} on inherited weights, batch norm recalibrated"
        tested = evaluate(net, task.data, examples, task.objective)
    else:
        what, tested = NET, evaluate(trained(folder, task).to(device), task.data, examples, task.objective)
    return Measured(what, split, len(examples), tested.metrics, task.objective)


def rank_architectures(
    run: Path,
    table: Path,
    device: torch.device,
    columns: Sequence[str] = (),
    sample: int = 0,
    calibration: Sequence[int] | None = None,
    val: int | None = None,
    order: ScoreOrder = AS_IN_THE_RUN,
    block: int = 50,
    trusted: Sequence[str] = (),
    place: DataPlace = HERE,
) -> tuple[Ranking, Truth | None]:
    """Compares the supernet's scores with known accuracies, and tells that of the found architecture.

    Leaves rank.json, rank.jsonl and truth.json. Raises ``UserError``.
    """
    check_at_least({"--sample": sample, "--block": block}, {"--sample": 0, "--block": 1})
    truth = load_benchmark_table(table, columns)
    folder, task, flags, *_ = open_task(run, device, trusted, place)
    check_data(folder, task.data)
    folder.need(SUPERNET, "search")
    settings = scorings(task, order.of(flags.score), calibration, val)
    known = known_archs(task, table, truth)
    asked = known.subset(sampled(len(known.archs), sample, task.seed))
    some = asked.distinct()
    first = next(iter(asked.columns.values()))
    ranking = Ranking(
        table=table.name,
        rows=len(known.archs),
        networks=len(known.distinct()),
        measures=supernet_measures(folder, task, asked, settings, block) + cost_measures(task, asked),
        truth={asked.networks[i].text(): first[i] for i in some},
    )
    folder.write(ranking)
    found_truth = truth_stage(folder, task, known)
    RunLogger(folder).say(f"report: {report(folder.path)}")
    return ranking, found_truth
