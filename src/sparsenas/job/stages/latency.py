"""Building latency tables, and measuring the found network whole."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from sparsenas.costs.enumerate import enumerate_layers
from sparsenas.costs.latency import LATENCY, LatencyTable, Settings
from sparsenas.errors import UserError, check_at_least
from sparsenas.job.plugin import Plugin
from sparsenas.job.space_facts import named_example, sized_space, space_words
from sparsenas.job.task import Task
from sparsenas.job.trained import found
from sparsenas.rundir.folder import Run
from sparsenas.rundir.logger import RunLogger
from sparsenas.rundir.progress import Bar
from sparsenas.rundir.results import MeasuredLatency, results, update_results
from sparsenas.timing import (
    ENGINES,
    Checked,
    Engine,
    Timer,
    check,
    device_name,
    fill,
    layers_of,
    measure_network,
    missing,
    open_table,
    some_archs,
    using_threads,
    verdict,
    write_table,
)

LEAST = {"--batch": 1, "--repeats": 1, "--threads": 0, "--warmup": 0, "--networks": 0, "--seconds": 0}
"""Lowest legal values."""


def build(
    space: Plugin,
    settings: Settings,
    out: Path,
    networks: int,
    seed: int,
    console: Console,
    example: str = "",
) -> tuple[LatencyTable, list[Checked]]:
    """Measures the layers that the file lacks, then whole networks. Raises ``UserError``.

    The inputs are those of ``example``, a callable by name, by default of the shape of the space.
    """
    numbers = {f"--{name}": value for name, value in asdict(settings).items()} | {"--networks": networks}
    check_at_least(numbers, LEAST)
    net, shape = sized_space(space, named_example(example) if example else None)
    engine = ENGINES[settings.engine](settings)
    table = open_table(out, settings, engine)
    console.print(f"{table.device}: looking for the layers of {space.name}", markup=False)
    archs = some_archs(net, networks, seed)
    wanted = missing(table, [*enumerate_layers(net, shape, seed), *layers_of(net, shape, archs)])
    with using_threads(settings.threads):
        with Bar(console, "layers", len(wanted), 0) as bar:
            fill(table, wanted, engine, Timer.of_layers(settings), out, bar.advance)
        with Bar(console, "networks", len(archs), 0) as bar:
            checked = check(table, net, shape, archs, engine, Timer.of(settings), bar.advance)
    table.checks[space_words(space, shape)] = verdict(checked)
    write_table(out, table)
    return table, checked


def latency_stage(run: Run, task: Task) -> None:
    """Measures the found network whole, as the run's table was measured; results.json keeps it beside the sum."""
    table = task.latency
    if table is None or results(run).latency is not None:
        return
    arch, settings = found(run, task.choices), table.settings
    logger, median, spread, original = RunLogger(run), None, None, None
    try:
        engine = engine_of(table)
        with logger.stage("latency"), using_threads(settings.threads):
            net, shape = task.network("supernet", task.target), task.data.shape
            timing = measure_network(net, arch, shape, engine, Timer.of(settings))
            if task.opened is not None:
                original = measure_network(net, task.largest(), shape, engine, Timer.of(settings)).median_ms
        median, spread = timing.median_ms, timing.spread_ms
    except UserError as error:
        logger.note("latency", f"the found network is not measured whole: {error}")
    summed = task.costs(arch)[LATENCY]
    decided = results(run).table_error  # the bound of networks that run; by the table it is another in percent
    for budget in task.limits.budgets:
        most = decided.budget_ms if decided else budget.at_most
        if budget.cost == LATENCY and median is not None and median > most:
            logger.note("latency", f"the found network takes {median:.4g} ms, more than {LATENCY}<={most:g}")
    update_results(
        run, latency=MeasuredLatency(table_ms=summed, measured_ms=median, spread_ms=spread, original_ms=original)
    )


def engine_of(table: LatencyTable) -> Engine:
    """The engine that a table was measured with. Raises ``UserError`` where this machine is another one."""
    here, threads, cores = device_name(table.settings.accelerator), table.settings.threads, os.cpu_count() or 1
    if here != table.device:
        raise UserError(f"the table is of {table.device}, this is {here}")
    if threads > cores:
        raise UserError(f"the table is of {threads} threads, this machine has {cores} cores")
    return ENGINES[table.settings.engine](table.settings)
