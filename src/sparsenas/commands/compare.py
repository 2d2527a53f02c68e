"""``sparsenas compare``: several runs side by side on one HTML page."""

from __future__ import annotations

from pathlib import Path

from sparsenas.job.browser import show
from sparsenas.reporting import compare as write_comparison


def compare(runs: list[Path], out: Path = Path("compare.html"), open: bool = False) -> None:
    """Writes one HTML page on which several runs stand side by side; it opens offline.

    The runs may be of different spaces and tasks, and unfinished.

    Args:
        runs: run folders, at least two.
        out: the page.
        open: show the page in the browser.
    """
    page = write_comparison(runs, out)
    print(page)
    if open:
        show(page)
