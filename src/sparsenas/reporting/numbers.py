"""Numbers as text: ``512 000``, ``93.1 %``, ``31 s``, ``412 MiB``."""

from __future__ import annotations

import math
from decimal import Decimal

SPACE = "\u202f"
"""A narrow space at which no line is broken."""
NONE, MINUS = "\u2013", "\u2212"
"""What stands for a number that is not known, and the sign of a negative one."""
_RAISED = str.maketrans("0123456789", "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079")


def finite(value: float | None) -> float | None:
    """``value`` unless it is infinite or no number."""
    return value if value is not None and (isinstance(value, int) or math.isfinite(value)) else None


def count(value: float | None) -> str:
    """A whole number in groups of three digits; three significant digits where it is below 100 and not whole.

    From 10^15 on a power of ten.
    """
    if (value := finite(value)) is None:
        return NONE
    if abs(value) >= 1e15:
        digits, power = f"{Decimal(value):.1e}".split("e+")
        return f"{digits}{SPACE}\u00d7{SPACE}10{str(int(power)).translate(_RAISED)}"
    if value != round(value) and abs(value) < 100:
        return f"{value:.3g}"
    return f"{round(value):,}".replace(",", SPACE)


def short(value: float | None) -> str:
    """Three significant digits with a unit prefix: ``512 k``, ``330 M``, ``1.2 G``."""
    if (value := finite(value)) is None:
        return NONE
    for limit, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")):
        if limit <= abs(value) < 1e15:
            scaled = value / limit * (10 if prefix == "k" else 1)
            return f"{scaled:.0f}{SPACE}{prefix}" if abs(scaled) >= 99.95 else f"{scaled:.3g}{SPACE}{prefix}"
    return count(value)


def percent(share: float | None) -> str:
    """A share of one in percent; more digits where rounding would give 0 or 100."""
    if (share := finite(share)) is None:
        return NONE
    digits = 1
    while digits < 4 and 0 < share < 1 and f"{100 * share:.{digits}f}" in (f"{0:.{digits}f}", f"{100:.{digits}f}"):
        digits += 1
    return f"{100 * share:.{digits}f}{SPACE}%"


def points(share: float) -> str:
    """A difference of two shares in percentage points, without sign."""
    size = abs(100 * share)
    return f"{size:.1f}" if size >= 0.95 else f"{size:.2f}"


def decimals(value: float | None) -> str:
    """A number with three decimals."""
    return NONE if (value := finite(value)) is None else f"{value:.3f}"


def seconds(value: float | None) -> str:
    """A duration in its two largest units."""
    if (value := finite(value)) is None:
        return NONE
    if value < 9.95:
        return f"{value:.1f}{SPACE}s"
    whole, minutes, hours = round(value), round(value / 60), round(value / 3600)
    if whole < 120:
        return f"{whole}{SPACE}s"
    if whole < 3600:
        return f"{whole // 60}{SPACE}min {whole % 60:02d}{SPACE}s"
    if minutes < 24 * 60:
        return f"{minutes // 60}{SPACE}h {minutes % 60:02d}{SPACE}min"
    return f"{hours // 24}{SPACE}d {hours % 24:02d}{SPACE}h"


def mebibytes(value: float | None) -> str:
    """An amount of memory given in MiB."""
    if (value := finite(value)) is None:
        return NONE
    return f"{value / 1024:.1f}{SPACE}GiB" if value >= 10240 else f"{count(round(value))}{SPACE}MiB"


def several(n: int, noun: str) -> str:
    """A number with its noun: ``1 choice``, ``40 choices``, ``10 classes``."""
    return f"{count(n)} {noun}" if n == 1 else f"{count(n)} {noun}{'es' if noun.endswith('s') else 's'}"


def shape(sizes: object) -> str:
    """A shape such as ``3 \u00d7 32 \u00d7 32``; of several tensors, theirs in order."""
    if isinstance(sizes, dict):
        return ", ".join(f"{name}: {shape(value)}" for name, value in sizes.items())
    if isinstance(sizes, list) and any(isinstance(size, list | dict) for size in sizes):
        return ", ".join(map(shape, sizes))
    return " \u00d7 ".join(map(str, sizes)) or "1" if isinstance(sizes, list) else str(sizes)


def cut(text: str, most: int) -> str:
    """The beginning of a text that is too long."""
    return text if len(text) <= most else text[: most - 1] + "\u2026"
