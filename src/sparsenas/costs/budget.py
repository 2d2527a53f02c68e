"""Hard limits on costs, and the grammar in which they are written."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sparsenas.costs.latency import LATENCY
from sparsenas.costs.layer import COSTS
from sparsenas.errors import UserError

_NUMBER = r"[0-9]+(?:_[0-9]+)*\.?[0-9]*(?:[eE][+-]?[0-9]+)?"
_BOUND = re.compile(rf"\s*([A-Za-z_][A-Za-z_0-9]*)\s*(<=|>=)\s*({_NUMBER})\s*([kMG]?)\s*")
_UNIT = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9}
_AND = " and "


@dataclass(frozen=True)
class Budget:
    """A cost between two bounds, both included."""

    cost: str
    at_least: float = 0.0
    at_most: float = math.inf

    @classmethod
    def parse(cls, text: str, costs: Collection[str] = COSTS, flag: str = "--budget") -> Budget:
        """Reads one bound, such as ``flops<=330e6`` or ``params>=100k`` (suffixes k, M, G). Raises ``UserError``."""
        match = _BOUND.fullmatch(text)
        if match is None:
            raise UserError(f"{flag} {text!r}: expected COST<=NUMBER or COST>=NUMBER, as in flops<=330e6")
        cost, relation, number, unit = match.groups()
        check_cost(f"{flag} {text!r}", cost, costs)
        value = float(number) * _UNIT[unit]
        return cls(cost, at_most=value) if relation == "<=" else cls(cost, at_least=value)

    @classmethod
    def parse_bounds(cls, text: str, costs: Collection[str] = COSTS) -> list[Budget]:
        """Reads what ``str`` prints, as one budget per bound. Raises ``UserError``."""
        return [cls.parse(bound, costs) for bound in text.split(_AND)]

    def allows(self, value: float) -> bool:
        """Whether a cost keeps the bounds."""
        return self.at_least <= value <= self.at_most

    def __str__(self) -> str:
        bounds = [f"{self.cost}>={_text(self.at_least)}"] if self.at_least > 0 else []
        bounds += [f"{self.cost}<={_text(self.at_most)}"] if self.at_most < math.inf else []
        return _AND.join(bounds) or f"any {self.cost}"


def check_cost(flag: str, cost: str, costs: Collection[str]) -> None:
    """Raises ``UserError`` naming ``flag`` when ``cost`` is none of ``costs``."""
    if cost == LATENCY and cost not in costs:
        raise UserError(
            f"{flag}: expected --latency FILE as well, a table of this device that `sparsenas latency` makes"
        )
    if cost not in costs:
        raise UserError(f"{flag}: expected one of the costs {', '.join(costs)}, got {cost!r}")


def _text(bound: float) -> str:
    """A bound in full: a whole number without point, anything else as Python writes it."""
    return str(int(bound)) if bound == int(bound) else repr(bound)


def parse_budgets(texts: Sequence[str], costs: Collection[str] = COSTS, flag: str = "--budget") -> list[Budget]:
    """Reads several budgets; those on one cost are joined. Raises ``UserError`` when they contradict each other."""
    joined: dict[str, Budget] = {}
    for budget in (Budget.parse(text, costs, flag) for text in texts):
        old = joined.get(budget.cost, Budget(budget.cost))
        bounds = max(old.at_least, budget.at_least), min(old.at_most, budget.at_most)
        if bounds[0] > bounds[1]:
            raise UserError(f"{flag}: {budget.cost} cannot be >= {bounds[0]:g} and <= {bounds[1]:g} at once")
        joined[budget.cost] = Budget(budget.cost, *bounds)
    return list(joined.values())
