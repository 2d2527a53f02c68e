"""Hours and memory of the papers' ImageNet jobs on many GPUs, from rates measured on one.

Rates come from ``gpu.py --json`` (or a CSV file with the columns workload, images_per_second and mebibytes), or one by
one from ``--images-per-second``. Nothing is guessed: where there is no rate the table says "not measured".

    python benchmarks/scaling.py --rates rates.json --bandwidth 300e9 --decoded-per-second 150 --cores 16
    python benchmarks/scaling.py --images-per-second 'spos imagenet=2000'
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

IMAGENET = 1_281_167
"""Training images."""
UNKNOWN = "not measured"


class Stage(NamedTuple):
    """A part of a paper's job."""

    name: str
    workload: str
    """Whose rate it has."""
    images: float
    """That go through the network, forward and back, or forward only where it is scored."""
    batch: int
    """Over all GPUs."""
    parameters: float
    """Whose gradients are exchanged in a step; 0 = none, as batch norm's sums are small beside them."""


STAGES = (
    Stage(
        "SPOS supernet, 120 epochs", "spos imagenet", 150_000 * 1024, 1024, 3.87e6
    ),  # of the 8.39 M, one path's at most
    Stage("SPOS search, 1000 x (25 600 + 8 000)", "spos imagenet, scoring", 1000 * 33_600, 128, 0),
    Stage("SPOS search, 1000 x (25 600 + 50 000)", "spos imagenet, scoring", 1000 * 75_600, 128, 0),
    Stage("SPOS retraining, 240 epochs", "spos retraining", 300_000 * 1024, 1024, 3.87e6),
    Stage("DSO search, 30 + 30 epochs", "dso imagenet", 60 * IMAGENET, 256, 12.46e6),
    Stage("DSO retraining, 240 epochs", "dso retraining", 240 * IMAGENET, 1024, 4.8e6),
    Stage("ISTA in one stage, 250 epochs", "ista imagenet", 250 * IMAGENET, 1024, 5.65e6),
    Stage("ISTA retraining, 250 epochs", "ista retraining", 250 * IMAGENET, 1024, 5.65e6),
)


class Rate(NamedTuple):
    """What one GPU does."""

    images_per_second: float
    mebibytes: float | None = None


@dataclass(frozen=True)
class Cluster:
    """What is between the GPUs, and in front of them."""

    bandwidth: float
    """Bytes a second that a GPU sends while it receives as many; that of the slowest link of the ring."""
    bytes_each: int
    """Of a gradient: 4, or 2 where they are sent in half precision."""
    decoded_per_second: float | None
    """Pictures that one processor core decodes and resizes."""
    cores: int
    """For each GPU."""


class Estimate(NamedTuple):
    """A stage on a number of GPUs."""

    hours: float
    exchange_ms: float
    """Of a step, if none of it is hidden behind the backward pass."""
    cores: float | None
    """Processor cores a GPU would have to have so that it never waits for pictures."""
    limit: str
    """What most of the time goes to."""


def exchange_seconds(parameters: float, gpus: int, cluster: Cluster) -> float:
    """Of a ring all-reduce: every GPU sends 2 (n - 1) / n of the gradients' bytes."""
    return 2 * (gpus - 1) / gpus * parameters * cluster.bytes_each / cluster.bandwidth


def estimate(stage: Stage, rate: Rate, gpus: int, cluster: Cluster) -> Estimate:
    """Computing and exchanging take turns, which is the worst case; decoding goes on beside them."""
    steps = stage.images / stage.batch
    computing = stage.batch / gpus / rate.images_per_second
    exchange = exchange_seconds(stage.parameters, gpus, cluster)
    shown = stage.batch / gpus / (computing + exchange)
    if cluster.decoded_per_second is None:
        cores, decoding = None, 0.0
    else:
        cores = shown / cluster.decoded_per_second
        decoding = stage.batch / gpus / (cluster.decoded_per_second * cluster.cores)
    parts = {"computing": computing, "gradients": exchange, "decoding": decoding}
    if decoding <= computing + exchange:
        parts.pop("decoding")
    limit = max(parts, key=parts.__getitem__)
    return Estimate(steps * max(computing + exchange, decoding) / 3600, 1000 * exchange, cores, limit)


def read_rates(path: Path) -> dict[str, Rate]:
    """The rates in a file of ``gpu.py``, or in a CSV file."""
    text = path.read_text()
    rows = list(csv.DictReader(text.splitlines())) if path.suffix == ".csv" else json.loads(text)["rows"]
    return {
        row["workload"]: Rate(
            float(row["images_per_second"]), float(row["mebibytes"]) if row.get("mebibytes") else None
        )
        for row in rows
    }


def given(texts: Sequence[str]) -> dict[str, Rate]:
    """Rates from the command line."""
    return {name: Rate(float(number)) for name, _, number in (text.rpartition("=") for text in texts)}


def row(stage: Stage, rate: Rate | None, gpus: int, cluster: Cluster) -> list[str]:
    """A line of the table."""
    if rate is None:
        exchange = 1000 * exchange_seconds(stage.parameters, gpus, cluster)
        return [stage.name, str(gpus), UNKNOWN, UNKNOWN, f"{exchange:.1f}", UNKNOWN, UNKNOWN]
    found = estimate(stage, rate, gpus, cluster)
    memory = UNKNOWN if rate.mebibytes is None else f"{rate.mebibytes / 1024:.1f}"
    cores = UNKNOWN if found.cores is None else f"{found.cores:.1f}"
    return [stage.name, str(gpus), f"{found.hours:.1f}", memory, f"{found.exchange_ms:.1f}", cores, found.limit]


def table(rates: Mapping[str, Rate], gpus: Sequence[int], cluster: Cluster) -> Table:
    """Every stage on every number of GPUs."""
    whole = Table("stage", "GPUs", "hours", "GiB a GPU", "gradients, ms a step", "cores a GPU needs", "limited by")
    for stage in STAGES:
        for number in gpus:
            whole.add_row(*row(stage, rates.get(stage.workload), number, cluster))
    return whole


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rates", type=Path, help="what gpu.py --json wrote, or a CSV file")
    names = ", ".join(dict.fromkeys(stage.workload for stage in STAGES))
    parser.add_argument("--images-per-second", action="append", default=[], help=f"WORKLOAD=RATE, of {names}")
    parser.add_argument("--gpus", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--bandwidth", type=float, default=25e9, help="bytes a second of the slowest link")
    parser.add_argument("--bytes-each", type=int, default=4, help="of a gradient")
    parser.add_argument("--decoded-per-second", type=float, help="pictures that one core decodes")
    parser.add_argument("--cores", type=int, default=8, help="for each GPU")
    flags = parser.parse_args(argv)
    rates = {**(read_rates(flags.rates) if flags.rates else {}), **given(flags.images_per_second)}
    cluster = Cluster(flags.bandwidth, flags.bytes_each, flags.decoded_per_second, flags.cores)
    Console(width=140).print(table(rates, flags.gpus, cluster))


if __name__ == "__main__":
    main()
