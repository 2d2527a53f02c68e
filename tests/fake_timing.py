"""An engine whose times are known: a clock that only work moves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch import nn

from sparsenas.costs import Layer, Shape, trace
from sparsenas.costs.enumerate import enumerate_layers
from sparsenas.costs.latency import LatencyTable, Settings, takes_time
from sparsenas.timing import Engine, Timer, fill, missing, open_table
from sparsenas.timing.timer import Trial, Work

START_MS = 0.25
"""What the fake engine takes to begin."""


class Clock:
    """A clock that only work moves."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds

    def work(self, ms: float) -> Work:
        def run() -> None:
            self.seconds += ms / 1e3

        return Work(run)


def fake_ms(layer: Layer) -> float:
    """The time that the fake engine takes for a layer."""
    return round(0.01 + 1e-6 * sum(map(np.prod, (layer.inputs, layer.output, layer.weight))), 6)


class FakeEngine(Engine):
    """Takes ``factor`` times as long for a whole network as for its layers."""

    packages = ("torch",)

    def __init__(self, clock: Clock, factor: float = 1.0, start: float = START_MS) -> None:
        super().__init__(Settings())
        self.clock, self.factor, self.start = clock, factor, start
        self.asked: list[Layer] = []
        self.networks = 0

    def layer(self, layer: Layer) -> Trial:
        self.asked.append(layer)
        return Trial(self.clock.work(self.start + fake_ms(layer)), self.clock.work(self.start))

    def network(self, net: nn.Module, shape: Shape) -> Work:
        self.networks += 1
        times = [fake_ms(layer) for layer in trace(net, shape) if takes_time(layer)]
        return self.clock.work(self.start + self.factor * sum(times))


def tick(words: str, by: int) -> None:
    assert words
    assert by > 0


def measured(net: nn.Module, shape: Shape, path: Path) -> LatencyTable:
    """A table of ``net`` by the fake engine."""
    clock = Clock()
    engine = FakeEngine(clock)
    table = open_table(path, engine.settings, engine)
    fill(table, missing(table, enumerate_layers(net, shape)), engine, Timer(1, 3, clock=clock), path, tick)
    return table
