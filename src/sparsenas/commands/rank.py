"""``sparsenas rank``: how well the supernet's scores rank architectures of known accuracy."""

from __future__ import annotations

import json as json_module
from pathlib import Path

from msgspec import to_builtins
from rich.console import Console
from rich.table import Table

from sparsenas.distributed.fabric import Device
from sparsenas.job.flag_groups import HERE, DataPlace
from sparsenas.job.folder import open_folder
from sparsenas.job.measure import rank_architectures
from sparsenas.rundir.lock import locked
from sparsenas.rundir.ranking import Ranking, Standing
from sparsenas.searching.rank_correlation import Agreement


def rank(
    run: Path,
    table: Path,
    sample: int = 0,
    calibration: list[int] | None = None,
    val: int | None = None,
    shrink: float | None = None,
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
    (every score; nothing is scored twice) and rank.json in the run folder.

    Args:
        run: run folder with the supernet.
        table: file of architectures and their true accuracies: JSON of NAS-Bench-Macro, JSON of accuracies by
            architecture, JSON with a list of objects with arch and accuracy, or CSV with the columns arch and accuracy.
        sample: number of rows to score, drawn with the run's seed; 0 = all.
        calibration: number of training images on which batch norm is recalibrated; 0 = not recalibrated. Repeatable.
            By default 0 and the run's own number.
        val: validation images per architecture; 0 = all. By default as in the run.
        shrink: how far scores are shrunk toward a ridge regression fitted to all scores, 0 to 1. By default as in the
            run.
        block: architectures scored together in one pass over the images, 1 or more.
        json: print one JSON object.
        accelerator: device type: cpu, cuda, mps or auto.
        threads: CPU threads (0 = PyTorch's default). Use 1 for small networks.
        trust_plugins: plug-in named in the run folder whose code may be run, as package.module:callable. Repeatable.
        data: where the data of the run are now.
    """
    device = Device(accelerator, threads=threads).fabric().device
    with locked(open_folder(run)):
        trusted = trust_plugins or []
        ranking = rank_architectures(run, table, device, sample, calibration, val, shrink, block, trusted, data)
    if json:
        print(json_module.dumps({name: value for name, value in to_builtins(ranking).items() if name != "truth"}))
    else:
        show(ranking)


def show(ranking: Ranking) -> None:
    """Prints the ranking as a table."""
    title = f"{ranking.table}: {ranking.rows:,} architectures, {ranking.networks:,} distinct networks"
    table = Table("score", title=title, title_justify="left")
    for heading in ("calibration", "rows", "tau", "rho", "distinct", "tau", "rho"):
        table.add_column(heading, justify="right")
    for measure in ranking.measures:
        images = "" if measure.images is None else str(measure.images or "none")
        table.add_row(measure.by, images, *_numbers(measure.all), *_numbers(measure.distinct))
    console = Console()
    console.print(table)
    console.print(_standing(ranking.found), highlight=False, soft_wrap=True, markup=False)


def _numbers(agreed: Agreement) -> list[str]:
    known = ["-" if value is None else f"{value:.3f}" for value in (agreed.tau, agreed.rho)]
    return [f"{agreed.rows:,}", *known]


def _standing(found: Standing | None) -> str:
    if found is None:
        return "the table does not have the architecture that was found, or none was found yet"
    told = f"found {found.text}: true accuracy {found.accuracy:.2%}"
    groups = {"rows": found.all, "distinct networks": found.distinct, "rows within the budget": found.within_budget}
    for among, at in groups.items():
        if at is not None:
            told += f"; rank {at.rank:,} of {at.of:,} {among}, {100 * at.gap:.2f} points below their best"
    return told
