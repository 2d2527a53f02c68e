"""Numbers as people read them: ``512 000``, ``93.1 %``, ``31 s``, ``412 MiB``."""

from __future__ import annotations

import math

SPACE = "\u202f"
"""A narrow space that does not break a line."""
NONE = "\u2013"
"""What stands for a number that is not known."""
_RAISED = str.maketrans("0123456789", "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079")


def number(value: object) -> float | None:
    """``value`` if it is a finite number, else ``None``."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        known = float(value)
    except OverflowError:
        return None
    return known if math.isfinite(known) else None


def count(value: float | None) -> str:
    """A whole number in groups of three; three significant digits below 100 where it is not whole.

    From 10^15 on a power of ten, for a float knows no more digits.
    """
    if value is None:
        return NONE
    if abs(value) >= 1e15:
        digits, power = f"{value:.1e}".split("e+")
        return f"{digits}{SPACE}\u00d7{SPACE}10{str(int(power)).translate(_RAISED)}"
    if value != round(value) and abs(value) < 100:
        return f"{value:.3g}"
    return f"{round(value):,}".replace(",", SPACE)


def short(value: float | None) -> str:
    """Three significant digits with a unit prefix: ``512 k``, ``330 M``, ``1.2 G``."""
    if value is None:
        return NONE
    for limit, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= limit:
            scaled = value / limit * (10 if prefix == "k" else 1)
            return f"{scaled:.0f}{SPACE}{prefix}" if abs(scaled) >= 99.95 else f"{scaled:.3g}{SPACE}{prefix}"
    return count(value)


def percent(share: float | None) -> str:
    """A share of one in percent; more digits where rounding would make it all or nothing."""
    if share is None:
        return NONE
    digits = 1
    while digits < 4 and 0 < share < 1 and f"{100 * share:.{digits}f}" in (f"{0:.{digits}f}", f"{100:.{digits}f}"):
        digits += 1
    return f"{100 * share:.{digits}f}{SPACE}%"


def points(share: float) -> str:
    """A difference of two shares in percentage points, without sign."""
    size = abs(100 * share)
    return f"{size:.1f}" if size >= 0.95 else f"{size:.2f}"


def seconds(value: float | None) -> str:
    """A duration in the two units that matter."""
    if value is None:
        return NONE
    if value < 9.95:
        return f"{value:.1f}{SPACE}s"
    whole = round(value)
    if whole < 120:
        return f"{whole}{SPACE}s"
    if whole < 3600:
        return f"{whole // 60}{SPACE}min {whole % 60:02d}{SPACE}s"
    minutes = round(value / 60)
    if minutes < 24 * 60:
        return f"{minutes // 60}{SPACE}h {minutes % 60:02d}{SPACE}min"
    hours = round(value / 3600)
    return f"{hours // 24}{SPACE}d {hours % 24:02d}{SPACE}h"


def mebibytes(value: float | None) -> str:
    """An amount of memory given in MiB."""
    if value is None:
        return NONE
    return f"{value / 1024:.1f}{SPACE}GiB" if value >= 10240 else f"{count(round(value))}{SPACE}MiB"


def several(n: int, noun: str) -> str:
    """How many of something: ``1 choice``, ``40 choices``."""
    return f"{count(n)} {noun}" if n == 1 else f"{count(n)} {noun}s"
