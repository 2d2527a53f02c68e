"""``sparsenas latency``: a table of how long each layer of a space takes on this device."""

from __future__ import annotations

import json as json_module
import statistics
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import torch
from rich.console import Console
from rich.table import Table

from sparsenas.costs.latency import LatencyTable, Settings
from sparsenas.errors import CONTINUES, told_when_stopped
from sparsenas.job.plugin import Plugin
from sparsenas.job.stages.latency import build
from sparsenas.timing import (
    Checked,
    verdict,
)

TINY = Plugin("tiny")
UNSTEADY = 0.25
"""A spread of more than this share of the median means that the machine was busy."""
FAR = 25
"""Sums that are off by more percent than this leave out much of what a network does."""


def latency(
    space: Plugin = TINY,
    example: str = "",
    engine: Literal["torch", "onnxruntime", "onnxruntime-int8"] = "torch",
    out: Path = Path("latency.json"),
    batch: int = 1,
    threads: int = 0,
    warmup: int = 10,
    repeats: int = 50,
    seconds: float = 1.0,
    networks: int = 10,
    accelerator: Literal["cpu", "cuda"] = "cpu",
    seed: int = 0,
    json: bool = False,
) -> None:
    """Measures how long every layer of a space takes on this device, for budgets such as latency_ms<=3.5.

    Each distinct layer is timed once, with batch norm folded. The same command with the same file continues an
    interrupted table, and adds the layers of other spaces. Then random networks are measured as a whole and compared
    with the sums of the table. Use a machine that does nothing else.

    Args:
        space: search space, with the flags and the image shape of the search.
        example: batch of inputs of a network that takes more than one image, as package.module:callable, a function
            that returns it.
        engine: torch, onnxruntime as net.onnx runs, or onnxruntime-int8 as net.int8.onnx runs.
        out: latency table, a JSON file.
        batch: images in a batch, 1 or more. A latency is that of a whole batch.
        threads: CPU threads (0 = PyTorch's default).
        warmup: runs before the first measurement.
        repeats: measurements per layer, 1 or more; the median is kept.
        seconds: the layers of a group, or networks, are measured in turn for at least so long, 0 or more.
        networks: number of random networks to measure as a whole.
        accelerator: device type.
        seed: seed of the random networks, 0 or more.
        json: print one JSON object.
    """
    warm = 0 if engine == "torch" else 1  # in Python, between two operations, caches are never as warm as that
    settings = Settings(engine, accelerator, batch, threads or torch.get_num_threads(), warmup, repeats, warm, seconds)
    with told_when_stopped(CONTINUES):
        table, checked = build(space, settings, out, networks, seed, Console(stderr=True, highlight=False), example)
    if json:
        print(json_module.dumps(_facts(out, table, space, checked)))
    else:
        console = Console(highlight=False)
        console.print(_summary(out, table, checked))
        console.print(_notes(checked), markup=False)


def _facts(out: Path, table: LatencyTable, space: Plugin, checked: Sequence[Checked]) -> dict[str, Any]:
    """The object that ``--json`` prints."""
    return {
        "table": str(out),
        "space": space.to_config(),
        "device": table.device,
        **asdict(table.settings),
        "layers": len(table.timings),
        **verdict(checked),
        "measured": [
            {
                "arch": c.text,
                "table_ms": c.table_ms,
                "measured_ms": c.measured.median_ms,
                "spread": c.measured.spread_ms,
            }
            for c in checked
        ],
    }


def _summary(out: Path, table: LatencyTable, checked: Sequence[Checked]) -> Table:
    """The table that is printed."""
    settings = table.settings
    how = f"{settings.engine}, {settings.accelerator}, batch {settings.batch}, {settings.threads} threads"
    shown = Table(title=f"{out}: {len(table.timings)} layers on {table.device} ({how})", title_justify="left")
    for name in ("network", "sum of layers, ms", "whole, ms", "spread, ms", "sum is off by"):
        shown.add_column(name, justify="left" if name == "network" else "right")
    for name, sum_ms, whole in checked:
        off = sum_ms / max(whole.median_ms, 1e-9) - 1
        shown.add_row(name, f"{sum_ms:.4g}", f"{whole.median_ms:.4g}", f"{whole.spread_ms:.2g}", f"{off:+.1%}")
    return shown


def _notes(checked: Sequence[Checked]) -> str:
    """How far the sums of the table are from the measured networks."""
    facts = verdict(checked)
    notes = []
    if checked:
        error = facts["mean_absolute_percentage_error"] or 0.0
        notes.append(f"sums are off by {error:.1f} % on average")
        if error > FAR:
            notes.append(
                "other operations than convolutions, matrix products and poolings take much of the time: a budget in "
                "percent, of which the measured networks keep their share, says more than one in ms"
            )
    if facts["rank_correlation"] is not None:
        notes.append(f"rank correlation {facts['rank_correlation']:.3f}")
    if (
        checked
        and statistics.median(c.measured.spread_ms / max(c.measured.median_ms, 1e-9) for c in checked) > UNSTEADY
    ):
        notes.append("times vary much: the machine seems busy")
    return "; ".join(notes) or "no network was measured whole"
