"""``sparsenas rank``: how well the supernet's scores rank architectures of known accuracy."""

from __future__ import annotations

import json as json_module
from pathlib import Path

from msgspec import to_builtins
from rich.console import Console
from rich.table import Table

from sparsenas.distributed.fabric import Device
from sparsenas.errors import CONTINUES, told_when_stopped
from sparsenas.job.flag_groups import HERE, DataPlace, ScoreOrder
from sparsenas.job.folder import open_folder
from sparsenas.job.measure import rank_architectures
from sparsenas.job.stages.truth import truth_lines
from sparsenas.rundir.lock import locked
from sparsenas.rundir.ranking import Ranking
from sparsenas.rundir.truth import Truth
from sparsenas.searching.rank_correlation import Agreement

FEW = 10
"""Architectures below which a rank correlation says little."""


def rank(
    run: Path,
    table: Path,
    column: list[str] | None = None,
    sample: int = 0,
    calibration: list[int] | None = None,
    val: int | None = None,
    shrink: float | None = None,
    prior: float | None = None,
    expressivity: bool | None = None,
    block: int = 50,
    json: bool = False,
    accelerator: str = "auto",
    threads: int = 0,
    trust_plugins: list[str] | None = None,
    data: DataPlace = HERE,
) -> None:
    """Compares the supernet's scores with the true accuracies of architectures: Kendall's tau-b and Spearman's rho.

    They are computed over all rows and over distinct networks, with batch norm recalibrated on different numbers of
    images, and for cost as a score. The rank of the found architecture in the table is printed too. Leaves rank.jsonl
    (every score; nothing is scored twice), rank.json and truth.json in the run folder.

    Args:
        run: run folder with the supernet.
        table: file of architectures and their true accuracies: JSON of NAS-Bench-Macro, JSON of accuracies by
            architecture, JSON with a list of objects with arch and accuracy, or CSV with the columns arch and accuracy.
        column: column of the CSV file, or key of the JSON objects, that has accuracies. Repeatable. By default
            accuracy, or where there is none every column of numbers.
        sample: number of rows to score, drawn with the run's seed; 0 = all.
        calibration: number of training images on which batch norm is recalibrated; 0 = not recalibrated. Repeatable.
            By default 0 and the run's own number.
        val: validation images per architecture; 0 = all. By default as in the run.
        shrink: how far scores are shrunk toward a ridge regression fitted to all scores, 0 to 1. By default as in the
            run.
        prior: weight of the prior of multiply-adds and expressivity beside the scores. By default as in the run.
        expressivity: whether the prior has expressivity as well as multiply-adds. By default as in the run.
        block: architectures scored together in one pass over the images, 1 or more.
        json: print one JSON object.
        accelerator: device type: cpu, cuda, mps or auto.
        threads: CPU threads (0 = PyTorch's default). Use 1 for small networks.
        trust_plugins: plug-in named in the run folder whose code may be run, as package.module:callable. Repeatable.
        data: where the data of the run are now.
    """
    device = Device(accelerator, threads=threads).fabric().device
    with told_when_stopped(CONTINUES), locked(open_folder(run)):
        order, trusted = ScoreOrder(shrink=shrink, prior=prior, expressivity=expressivity), trust_plugins or []
        ranking, truth = rank_architectures(
            run, table, device, column or (), sample, calibration, val, order, block, trusted, data
        )
    if json:
        told = {name: value for name, value in to_builtins(ranking).items() if name != "truth"}
        print(json_module.dumps({**told, "found": to_builtins(truth)}))
    else:
        show(ranking, truth)


def show(ranking: Ranking, truth: Truth | None) -> None:
    """Prints the ranking as a table for each column, and the accuracy of the found architecture."""
    console = Console()
    columns = dict.fromkeys(measure.column for measure in ranking.measures)
    for column in columns:
        console.print(_table(ranking, column, column if len(columns) > 1 else ""))
    if (rows := min((measure.all.rows for measure in ranking.measures), default=FEW)) < FEW:
        console.print(f"{rows} architectures: a rank correlation of fewer than {FEW} says little")
    lines = truth_lines(truth) if truth else ["the table does not have the found architecture, or none was found yet"]
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True, markup=False)


def _table(ranking: Ranking, column: str, name: str) -> Table:
    title = f"{ranking.table}: {ranking.rows:,} architectures, {ranking.networks:,} distinct networks"
    table = Table("score", title=", ".join(filter(None, (title, name))), title_justify="left")
    for heading in ("calibration", "rows", "tau", "rho", "distinct", "tau", "rho"):
        table.add_column(heading, justify="right")
    for measure in ranking.measures:
        if measure.column == column:
            images = "" if measure.images is None else str(measure.images or "none")
            table.add_row(measure.by, images, *_numbers(measure.all), *_numbers(measure.distinct))
    return table


def _numbers(agreed: Agreement) -> list[str]:
    known = ["-" if value is None else f"{value:.3f}" for value in (agreed.tau, agreed.rho)]
    return [f"{agreed.rows:,}", *known]
