"""The score of a run in words and on axes: a share as a percentage, any other metric as a number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sparsenas.objectives.words import metric_words
from sparsenas.reporting.canvas import axis, share_axis, span
from sparsenas.reporting.numbers import MINUS, NONE, finite, percent, points
from sparsenas.rundir.records import ScoreInfo


@dataclass(frozen=True)
class ShownScore:
    """The metric by which the networks of a run are compared."""

    info: ScoreInfo

    @property
    def name(self) -> str:
        """Its name in words."""
        return metric_words(self.info.name)

    @property
    def share(self) -> bool:
        """Whether it is a share from 0 to 1."""
        return self.info.name in self.info.shares

    def of(self, metrics: Mapping[str, float]) -> float:
        """Its value; NaN where it is not recorded."""
        return metrics.get(self.info.name, float("nan"))

    def known(self, metrics: Mapping[str, float]) -> bool:
        """Whether its value is recorded and finite."""
        return finite(self.of(metrics)) is not None

    def text(self, metrics: Mapping[str, float]) -> str:
        """Its value for people."""
        return self.number(self.of(metrics))

    def number(self, value: float | None) -> str:
        """A value for people."""
        if self.share:
            return percent(value)
        return NONE if (value := finite(value)) is None else f"{value:.4g}"

    def difference(self, value: float) -> str:
        """A difference of two values, without sign."""
        return f"{points(value)} points" if self.share else f"{abs(value):.3g}"

    def signed(self, value: float) -> str:
        """A difference of two values with its sign."""
        return f"{'+' if value >= 0 else MINUS}{self.difference(value)}"

    def gain(self, value: float, other: float) -> float:
        """How much better a value is than another."""
        return value - other if self.info.higher_is_better else other - value

    def best(self, values: Sequence[float]) -> float:
        """The best of some values."""
        return max(values) if self.info.higher_is_better else min(values)

    @property
    def hover(self) -> str:
        """The format of a value in hover text."""
        return ".2%" if self.share else ".4~g"

    def axis(self, title: str, values: Sequence[float], tickformat: str = ".0%", **settings: Any) -> dict[str, Any]:
        """An axis of values."""
        if self.share:
            return share_axis(title, values, tickformat, **settings)
        return axis(title, range=span(values), **settings)
