"""Filling a latency table, and holding it against whole networks."""

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
from sparsenas.searching.rank_correlation import agreement
from sparsenas.timing.engines import Engine
from sparsenas.timing.files import write_table
from sparsenas.timing.timer import Work

GROUP = 32
"""Layers that are measured in turn: about as many as a network has, and few enough to lose to a kill."""

Watch = Callable[[Sequence[Work]], list[Timing]]
"""What takes the times of several pieces of work: a ``Timer``."""
Tick = Callable[[str, int], None]
"""Called with a few words about what was measured and how many pieces it was."""


class Checked(NamedTuple):
    """One whole network: the table's sum and its own time."""

    text: str
    table_ms: float
    measured: Timing


def missing(table: LatencyTable, layers: Iterable[Layer]) -> list[Layer]:
    """The layers that take time and have no entry yet, each once. Raises ``UserError`` for a quantised one."""
    wanted = dict.fromkeys(measured_part(layer) for layer in layers if takes_time(layer))
    for layer in wanted:
        if layer.bits is not None:
            raise UserError(
                f"latency: expected a space without bit widths, which no engine here has; got {text(layer)}"
            )
    return [layer for layer in wanted if layer not in table.timings]


def fill(table: LatencyTable, layers: Sequence[Layer], engine: Engine, watch: Watch, path: Path, tick: Tick) -> None:
    """Measures ``layers`` into the table, and writes it after each group of them."""
    for first in range(0, len(layers), GROUP):
        group = layers[first : first + GROUP]
        trials = [engine.layer(layer) for layer in group]
        timings = watch([work for trial in trials for work in (trial.more, trial.less)])
        for i, (layer, trial) in enumerate(zip(group, trials, strict=True)):
            table.timings[layer] = trial.timing(timings[2 * i], timings[2 * i + 1])
        write_table(path, table)
        tick(f"the last {table.timings[group[-1]].median_ms:.3f} ms", len(group))


def measure_network(net: nn.Module, arch: Arch, shape: Shape, engine: Engine, watch: Watch) -> Timing:
    """The time of one whole network as it is deployed: in eval mode, batch norm folded."""
    plain = fold_batch_norms(derive(net, arch.gates()).eval())
    return watch([engine.network(plain, shape)])[0]


def check(
    table: LatencyTable, net: nn.Module, shape: Shape, archs: Iterable[Arch], engine: Engine, watch: Watch, tick: Tick
) -> list[Checked]:
    """The table's sums and the times of whole networks."""
    cost, found = table.cost(), []
    for arch in archs:
        measured = measure_network(net, arch, shape, engine, watch)
        set_gates(net, arch.gates())
        found.append(Checked(arch.text(), total(cost, trace(net, shape)), measured))
        tick(f"{measured.median_ms:.3f} ms", 1)
    return found


def layers_of(net: nn.Module, shape: Shape, archs: Iterable[Arch]) -> list[Layer]:
    """All layers of some architectures; for a space so large that ``enumerate_layers`` may miss some."""
    found = []
    for arch in archs:
        set_gates(net, arch.gates())
        found += trace(net, shape)
    return found


def some_archs(net: nn.Module, count: int, seed: int) -> list[Arch]:
    """Random architectures, all different."""
    questions, rng = choices(net), np.random.default_rng(seed)
    found: dict[Arch, None] = {}
    while len(found) < min(count, space_size(questions)):
        found[Arch.sample(questions, rng)] = None
    return list(found)


def verdict(checked: Sequence[Checked]) -> dict[str, float | int | None]:
    """How far sums are from whole networks: mean error in percent, absolute and signed, and agreement of the order."""
    sums = [network.table_ms for network in checked]
    times = [network.measured.median_ms for network in checked]
    off = [100 * (a - b) / max(b, 1e-9) for a, b in zip(sums, times, strict=True)]
    order = agreement(sums, times)
    return {
        "networks": len(checked),
        "mean_absolute_percentage_error": float(np.mean(np.abs(off))) if off else None,
        "mean_percentage_error": float(np.mean(off)) if off else None,
        "rank_correlation": order.rho,
        "kendall_tau": order.tau,
    }
