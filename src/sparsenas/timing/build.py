"""Fills a latency table, and compares its sums with whole networks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from torch import nn

from sparsenas.core.arch import Arch, space_size
from sparsenas.core.derive import derive
from sparsenas.core.gate import choices, set_gates
from sparsenas.costs import Shape, total, trace
from sparsenas.costs.latency import LatencyTable, Timing, measured_part, takes_time, text
from sparsenas.costs.layer import Layer
from sparsenas.errors import UserError
from sparsenas.nn.bn_folding import fold_batch_norms
from sparsenas.nn.tree import Tree
from sparsenas.searching.rank_correlation import agreement
from sparsenas.timing.engines import Engine
from sparsenas.timing.files import write_table
from sparsenas.timing.timer import Work

GROUP = 32
"""Layers that are measured in turn, about as many as a network has. The table is written after each group."""

NETWORKS = 10
"""Whole networks that are measured in turn."""

Watch = Callable[[Sequence[Work]], list[Timing]]
"""Measures the times of several pieces of work: a ``Timer``."""
Tick = Callable[[str, int], None]
"""Called after measurements, with a few words and the number of measurements."""


class Checked(NamedTuple):
    """One whole network: the sum of the table and the measured time."""

    text: str
    table_ms: float
    measured: Timing


def missing(table: LatencyTable, layers: Iterable[Layer]) -> list[Layer]:
    """The layers that take time and have no entry, each once. Raises ``UserError`` for a quantized one."""
    wanted = dict.fromkeys(measured_part(layer) for layer in layers if takes_time(layer))
    for layer in wanted:
        if layer.bits is not None:
            raise UserError(f"--space: expected layers without bit widths, which no engine can run, got {text(layer)}")
    return [layer for layer in wanted if layer not in table.timings]


def fill(table: LatencyTable, layers: Sequence[Layer], engine: Engine, watch: Watch, path: Path, tick: Tick) -> None:
    """Measures ``layers`` into the table and writes it after each group."""
    for first in range(0, len(layers), GROUP):
        group = layers[first : first + GROUP]
        trials = [engine.layer(layer) for layer in group]
        timings = watch([work for trial in trials for work in (trial.more, trial.less)])
        for i, (layer, trial) in enumerate(zip(group, trials, strict=True)):
            table.timings[layer] = trial.timing(timings[2 * i], timings[2 * i + 1])
        write_table(path, table)
        tick(f"the last {table.timings[group[-1]].median_ms:.3f} ms", len(group))


def measure_network(net: nn.Module, arch: Arch, shape: Shape | Tree, engine: Engine, watch: Watch) -> Timing:
    """The time of one whole network in eval mode with folded batch norms, as it is deployed.

    ``shape`` is that of one input, or an example: a tree of tensors.
    """
    return watch([engine.network(plain_network(net, arch), shape)])[0]


def plain_network(net: nn.Module, arch: Arch) -> nn.Module:
    """The network of an architecture as it is deployed: in eval mode with folded batch norms."""
    return fold_batch_norms(derive(net, arch.gates()).eval())


def check(
    table: LatencyTable,
    net: nn.Module,
    shape: Shape | Tree,
    archs: Iterable[Arch],
    engine: Engine,
    watch: Watch,
    tick: Tick,
) -> list[Checked]:
    """The sums of the table and the measured times of whole networks, which take turns in groups."""
    cost, every, found = table.cost(), list(archs), list[Checked]()
    for first in range(0, len(every), NETWORKS):
        group = every[first : first + NETWORKS]
        timings = watch([engine.network(plain_network(net, arch), shape) for arch in group])
        for arch, measured in zip(group, timings, strict=True):
            set_gates(net, arch.gates())
            found.append(Checked(arch.text(), total(cost, trace(net, shape)), measured))
        tick(f"the last {timings[-1].median_ms:.3f} ms", len(group))
    return found


def layers_of(net: nn.Module, shape: Shape | Tree, archs: Iterable[Arch]) -> list[Layer]:
    """All layers of some architectures, of which ``enumerate_layers`` may miss some in a large space."""
    found = []
    for arch in archs:
        set_gates(net, arch.gates())
        found += trace(net, shape)
    return found


def some_archs(net: nn.Module, count: int, seed: int) -> list[Arch]:
    """Random architectures, all different."""
    every, rng = choices(net), np.random.default_rng(seed)
    found: dict[Arch, None] = {}
    while len(found) < min(count, space_size(every)):
        found[Arch.sample(every, rng)] = None
    return list(found)


def verdict(checked: Sequence[Checked]) -> dict[str, float | int | None]:
    """Errors of the table's sums: mean and median absolute and mean signed error in percent, and rank correlation."""
    sums = [network.table_ms for network in checked]
    times = [network.measured.median_ms for network in checked]
    off = [100 * (a - b) / max(b, 1e-9) for a, b in zip(sums, times, strict=True)]
    order = agreement(sums, times)
    return {
        "networks": len(checked),
        "mean_absolute_percentage_error": float(np.mean(np.abs(off))) if off else None,
        "median_absolute_percentage_error": float(np.median(np.abs(off))) if off else None,
        "mean_percentage_error": float(np.mean(off)) if off else None,
        "rank_correlation": order.rho,
        "kendall_tau": order.tau,
    }
