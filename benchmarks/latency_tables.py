"""Latency tables against whole networks: layers alone, and layers as they run fused.

`python benchmarks/latency_tables.py [ENGINE]` takes about ten minutes on one core. For each of three spaces it
measures 30 random networks whole, in turn, and prints how far the sums of two tables are from them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence

import torch
from opened import resnet
from torch import nn

import sparsenas
from sparsenas.core.arch import Arch
from sparsenas.core.gate import set_gates
from sparsenas.costs import Shape, total, trace
from sparsenas.costs.latency import LatencyTable, Settings
from sparsenas.costs.layer import Layer
from sparsenas.spaces import nasbench_macro, tiny
from sparsenas.timing import (
    ENGINES,
    Checked,
    Engine,
    OnnxEngine,
    Timer,
    layers_of,
    missing,
    plain_network,
    some_archs,
    using_threads,
    verdict,
)
from sparsenas.timing.build import GROUP
from sparsenas.timing.onnx_layers import empty_model, model_of
from sparsenas.timing.timer import Trial
from sparsenas.timing.torch_layers import module_of

NETWORKS, BATCH, REPEATS, SECONDS = 30, 8, 20, 3.0

Measure = Callable[[Layer], Trial]


def spaces() -> Iterator[tuple[str, nn.Module, Shape]]:
    """Each space with the shape of its images."""
    yield "tiny", tiny(), (1, 8, 8)
    yield "opened ResNet", sparsenas.open(resnet(), torch.zeros(2, 1, 8, 8)), (1, 8, 8)
    yield "nasbench_macro", nasbench_macro(), (3, 32, 32)


def alone(engine: Engine) -> Measure:
    """A layer by itself, without what follows it."""

    def measure(layer: Layer) -> Trial:
        if not isinstance(engine, OnnxEngine):
            built = module_of(layer)
            if not isinstance(built, nn.Sequential):
                return engine.layer(layer)
            return Trial(engine.network(built[0], layer.inputs[1:]), engine.network(nn.Identity(), (1,)))
        model = engine.as_run(model_of(layer, engine.settings.batch))
        return Trial(engine.work(model), engine.work(empty_model()))

    return measure


def table(layers: Sequence[Layer], measure: Measure, timer: Timer, settings: Settings) -> LatencyTable:
    """The times of all layers, measured in turn in groups."""
    filled = LatencyTable("", settings, {})
    for first in range(0, len(layers), GROUP):
        group = layers[first : first + GROUP]
        trials = [measure(layer) for layer in group]
        timings = timer([work for trial in trials for work in (trial.more, trial.less)])
        for i, (layer, trial) in enumerate(zip(group, trials, strict=True)):
            filled.timings[layer] = trial.timing(timings[2 * i], timings[2 * i + 1])
    return filled


def sums(filled: LatencyTable, net: nn.Module, shape: Shape, archs: Sequence[Arch]) -> list[float]:
    """The sum of the table for each architecture."""
    found, cost = [], filled.cost()
    for arch in archs:
        set_gates(net, arch.gates())
        found.append(total(cost, trace(net, shape)))
    return found


def main(name: str) -> None:
    """Prints a row for each space and table."""
    settings = Settings(name, "cpu", BATCH, 1, 3, REPEATS, seconds=SECONDS)
    engine, cold = ENGINES[name](settings), Settings(name, "cpu", BATCH, 1, 3, REPEATS, warm=0, seconds=SECONDS)
    onnx = isinstance(engine, OnnxEngine)
    tables = {"layers alone": (alone(engine), cold), "as they run": (engine.layer, settings if onnx else cold)}
    print(
        "| engine | space | table | median error | sums too large by, mean | Kendall's tau |\n|---|---|---|---|---|---|"
    )
    for space, net, shape in spaces():
        archs = some_archs(net, NETWORKS, seed=0)
        layers = missing(LatencyTable("", settings, {}), layers_of(net, shape, archs))
        timings = Timer.of(settings)([engine.network(plain_network(net, arch), shape) for arch in archs])
        for kind, (measure, how) in tables.items():
            each = sums(table(layers, measure, Timer.of_layers(how), how), net, shape, archs)
            told = verdict([Checked("", sum_ms, timing) for sum_ms, timing in zip(each, timings, strict=True)])
            median, mean, tau = (
                told[key] or 0.0 for key in ("median_absolute_percentage_error", "mean_percentage_error", "kendall_tau")
            )
            print(f"| {name} | {space} | {kind} | {median:.1f} % | {mean:+.1f} % | {tau:.2f} |", flush=True)


if __name__ == "__main__":
    with using_threads(1):
        main(sys.argv[1] if len(sys.argv) > 1 else "onnxruntime")
