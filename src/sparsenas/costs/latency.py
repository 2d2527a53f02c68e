"""Measured time as a cost: a table with one entry for every distinct layer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, NamedTuple

from sparsenas.costs.layer import COMPUTE, POOL, Cost, Layer
from sparsenas.errors import UserError

LATENCY = "latency_ms"
"""The name of the cost."""
GRID = 2.0**20
"""Times are rounded to steps of 1/GRID ms, about a nanosecond: sums of such numbers are exact, in any order."""
_SHAPES = ("inputs", "output", "weight", "settings")


class Timing(NamedTuple):
    """How long one run takes: the median and the interquartile range of repeated measurements."""

    median_ms: float
    spread_ms: float


@dataclass(frozen=True)
class Settings:
    """How times are taken; the same for all times of a table."""

    engine: str = "torch"
    """torch (eager), onnxruntime, or onnxruntime-int8"""
    accelerator: str = "cpu"
    """cpu or cuda"""
    batch: int = 1
    """Images per batch; a time is that of the whole batch"""
    threads: int = 1
    """CPU threads"""
    warmup: int = 10
    """Runs before the first measurement"""
    repeats: int = 30
    """Measurements"""
    warm: int = 1
    """Runs of a layer before each of its measurements"""
    seconds: float = 0.0
    """Measurements of layers or networks in turn go on for at least so long"""


@dataclass
class LatencyTable:
    """Times of layers on one device; ``source`` is the file that messages name."""

    device: str
    settings: Settings
    versions: Mapping[str, str]
    timings: dict[Layer, Timing] = field(default_factory=dict)
    checks: dict[str, Any] = field(default_factory=dict)
    """For each space: how far the sums of the table are from times of whole networks."""
    source: str = ""

    def cost(self, advice: str = "`sparsenas latency` adds it") -> Cost:
        """The table as a cost. For a layer that was not measured it raises ``UserError``, which ends in ``advice``."""
        times = {layer: round(timing.median_ms * GRID) / GRID for layer, timing in self.timings.items()}

        def latency_ms(layer: Layer) -> float:
            if not takes_time(layer):
                return 0.0
            found = times.get(measured_part(layer))
            if found is None:
                raise UserError(
                    f"{self.source}: expected a time for every layer, found none for {text(layer)}; {advice}"
                )
            return found

        return latency_ms

    def to_json(self) -> dict[str, Any]:
        """The table as plain values, one entry per layer."""
        entries = [
            {name: value for name, value in asdict(layer).items() if name in ("op", *_SHAPES)} | timing._asdict()
            for layer, timing in self.timings.items()
        ]
        head = {"device": self.device, "settings": asdict(self.settings), "versions": dict(self.versions)}
        return {**head, "checks": self.checks, "layers": entries}

    @classmethod
    def from_json(cls, values: Any, source: str) -> LatencyTable:
        """The inverse of ``to_json``. Raises ``UserError`` naming ``source`` when the values are no such table."""
        try:
            settings = Settings(**{"warm": 0, **values["settings"]})  # tables of before had no such runs
            if any(type(vars(settings)[f.name]) is not type(f.default) for f in fields(Settings)):
                raise ValueError(f"settings {values['settings']}")
            timings = dict(map(_entry, values["layers"]))
            return cls(values["device"], settings, dict(values["versions"]), timings, dict(values["checks"]), source)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            reason = f"no {error}" if isinstance(error, KeyError) else str(error)
            raise UserError(f"{source}: expected a table that `sparsenas latency` wrote, got: {reason}") from error


def takes_time(layer: Layer) -> bool:
    """Whether a layer counts: convolutions, products and poolings. All others count as folded or fused into these."""
    return layer.op in COMPUTE + POOL


def measured_part(layer: Layer) -> Layer:
    """The part of a layer that its time depends on; layers with equal parts share one entry."""
    return replace(layer, params=0)


def text(layer: Layer) -> str:
    """A layer as text, such as ``conv2d 1x16x8x8 -> 1x32x8x8, weight 32x16x3x3, settings 1,1,1,1,1,1,1``."""
    parts = [f"{layer.op} {_shape(layer.inputs)} -> {_shape(layer.output)}"]
    parts += [f"weight {_shape(layer.weight)}"] if layer.weight else []
    parts += [f"settings {','.join(map(str, layer.settings))}"] if layer.settings else []
    parts += [f"{layer.bits[0]}-bit weights and {layer.bits[1]}-bit activations"] if layer.bits else []
    return ", ".join(parts)


def _entry(values: Mapping[str, Any]) -> tuple[Layer, Timing]:
    inputs, output, weight, settings = (tuple(int(number) for number in values[name]) for name in _SHAPES)
    timing = Timing(float(values["median_ms"]), float(values["spread_ms"]))
    if not all(math.isfinite(number) and number >= 0 for number in timing):
        raise ValueError(f"times {tuple(timing)} of {values['op']}")
    return Layer(str(values["op"]), inputs, output, weight, settings), timing


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
