"""``sparsenas compare``: several runs side by side on one HTML page."""

from __future__ import annotations

from pathlib import Path

from sparsenas.reporting import compare as write_comparison


def compare(runs: list[Path], out: Path = Path("compare.html")) -> None:
    """Writes one HTML page on which several runs stand side by side; it opens offline.

    The runs may be of different spaces and tasks, and unfinished.

    Args:
        runs: run folders, at least two.
        out: the page.
    """
    print(write_comparison(runs, out))
