"""Hard limits on costs, and the grammar in which they are written."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import NamedTuple

from sparsenas.costs.latency import LATENCY
from sparsenas.costs.layer import COSTS
from sparsenas.errors import UserError

_NUMBER = r"[0-9]+(?:_[0-9]+)*\.?[0-9]*(?:[eE][+-]?[0-9]+)?"
_BOUND = re.compile(rf"\s*([A-Za-z_][A-Za-z_0-9]*)\s*(<=|>=)\s*({_NUMBER})\s*([kMG%]?)\s*")
_ANY_BOUND = re.compile(r"\s*([^<>=]*?)\s*([<>]?=?|=[<>])\s*([^<>=]*?)\s*")
_UNIT = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9}
AND = " and "
"""Between the bounds of a budget in print."""


class Bound(NamedTuple):
    """One bound of a budget as it is written: in units of the cost, or in percent of the largest network's."""

    flag: str
    text: str
    cost: str
    relation: str
    value: float
    percent: bool

    @classmethod
    def parse(cls, text: str, costs: Collection[str] = COSTS, flag: str = "--budget") -> Bound:
        """Reads a bound, such as ``flops<=330e6``, ``params>=100k`` or ``flops<=50%``. Raises ``UserError``."""
        where, match = f"{flag} {text!r}", _BOUND.fullmatch(text)
        if match is None:
            raise UserError(f"{where}: {_mistake(where, text, costs, flag)}")
        cost, relation, number, unit = match.groups()
        check_cost(where, cost, costs)
        if unit == "%" and not 0 < float(number) <= 100:
            raise UserError(f"{where}: expected more than 0 and at most 100 % of the largest network, got {number} %")
        return cls(flag, text, cost, relation, float(number) * _UNIT.get(unit, 1.0), unit == "%")

    @property
    def where(self) -> str:
        """The flag and the text, for messages."""
        return f"{self.flag} {self.text!r}"

    def budget(self, largest: Mapping[str, float] | None = None) -> Budget:
        """The bound in units of the cost; ``largest`` are the costs of the largest network.

        Of a cost in whole numbers a percentage is a whole number as well. Raises ``UserError`` for a percentage where
        the cost of the largest network is not known, or not above 0.
        """
        value, upper = self.value, self.relation == "<="
        if self.percent:
            if largest is None:
                raise UserError(f"{self.where}: expected a number; percentages are for --budget")
            whole = largest[self.cost]
            if not 0 < whole < math.inf:
                raise UserError(f"{self.where}: expected a number, since the largest network has {whole:g} {self.cost}")
            value = whole * value / 100
            if isinstance(whole, int):
                value = math.floor(value) if upper else math.ceil(value)
        return Budget(self.cost, at_most=value) if upper else Budget(self.cost, at_least=value)


@dataclass(frozen=True)
class Budget:
    """A cost between two bounds, both included."""

    cost: str
    at_least: float = 0.0
    at_most: float = math.inf

    @classmethod
    def parse(cls, text: str, costs: Collection[str] = COSTS, flag: str = "--budget") -> Budget:
        """Reads one bound, such as ``flops<=330e6`` or ``params>=100k`` (suffixes k, M, G). Raises ``UserError``."""
        return Bound.parse(text, costs, flag).budget()

    @classmethod
    def parse_bounds(cls, text: str, costs: Collection[str] = COSTS) -> list[Budget]:
        """Reads what ``str`` prints, as one budget per bound. Raises ``UserError``."""
        return [cls.parse(bound, costs) for bound in text.split(AND)]

    def allows(self, value: float) -> bool:
        """Whether a cost keeps the bounds."""
        return self.at_least <= value <= self.at_most

    def __str__(self) -> str:
        bounds = [f"{self.cost}>={_text(self.at_least)}"] if self.at_least > 0 else []
        bounds += [f"{self.cost}<={_text(self.at_most)}"] if self.at_most < math.inf else []
        return AND.join(bounds) or f"any {self.cost}"


def in_percent(texts: Iterable[str]) -> bool:
    """Whether any of the budgets, as written, is in percent of the largest network."""
    return any(text.rstrip().endswith("%") for text in texts)


def check_cost(flag: str, cost: str, costs: Collection[str]) -> None:
    """Raises ``UserError`` naming ``flag`` when ``cost`` is none of ``costs``."""
    if cost == LATENCY and cost not in costs:
        raise UserError(
            f"{flag}: expected --latency FILE as well, a table of this device that `sparsenas latency` makes"
        )
    if cost not in costs:
        told = "; flops are multiply-adds" if "flops" in costs else ""
        near = get_close_matches(cost, [*costs, LATENCY], 1)
        told += f"; did you mean {near[0]}?" if near else ""
        known = f"expected one of the costs {', '.join(costs)}, or your own by --cost"
        raise UserError(f"{flag}: {known}, got {cost!r}{told}")


def _mistake(where: str, text: str, costs: Collection[str], flag: str) -> str:
    """What is wrong with a bound that cannot be read. Raises ``UserError`` for an unknown cost."""
    form = "expected COST<=NUMBER or COST>=NUMBER, as in flops<=330e6, flops<=330M or flops<=50%"
    match = _ANY_BOUND.fullmatch(text)
    if "," in text or match is None:
        return f"{form}; every bound needs a {flag} of its own"
    cost, relation, number = match.groups()
    if not (cost and relation and number):
        return form
    check_cost(where, cost, costs)
    if relation in ("<=", ">="):
        return f"{form}; a number such as 330e6, with k, M or G for thousands, millions and billions, or %"
    return f"{form}; did you mean {cost}{'>=' if '>' in relation else '<='}{number}?"


def _text(bound: float) -> str:
    """A bound in full: a whole number without point, anything else as Python writes it."""
    return str(int(bound)) if bound == int(bound) else repr(bound)


def read_bounds(texts: Iterable[str], costs: Collection[str] = COSTS, flag: str = "--budget") -> list[Bound]:
    """Reads the bounds of several budgets. Raises ``UserError``."""
    return [Bound.parse(text, costs, flag) for text in texts]


def parse_budgets(texts: Sequence[str], costs: Collection[str] = COSTS, flag: str = "--budget") -> list[Budget]:
    """Reads several budgets in units of their costs; those on one cost are joined.

    Raises ``UserError`` when they contradict each other, and for one in percent.
    """
    return join_bounds(read_bounds(texts, costs, flag))


def join_bounds(bounds: Iterable[Bound], largest: Mapping[str, float] | None = None) -> list[Budget]:
    """A budget for each cost. ``largest`` are the costs of the largest network, of which percentages are.

    Raises ``UserError`` for bounds that contradict each other.
    """
    joined: dict[str, Budget] = {}
    for bound in bounds:
        budget, old = bound.budget(largest), joined.get(bound.cost, Budget(bound.cost))
        low, high = max(old.at_least, budget.at_least), min(old.at_most, budget.at_most)
        if low > high:
            raise UserError(f"{bound.where}: {budget.cost} cannot be >= {low:g} and <= {high:g} at once")
        joined[budget.cost] = Budget(budget.cost, low, high)
    return list(joined.values())
