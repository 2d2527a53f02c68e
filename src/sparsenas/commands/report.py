"""``sparsenas report``: one HTML file about a run."""

from __future__ import annotations

from pathlib import Path

from sparsenas.job.browser import show
from sparsenas.reporting import report as write_report


def report(run: Path, open: bool = False) -> None:
    """Writes report.html from the files of a run folder; it opens offline.

    Args:
        run: run folder.
        open: show the page in the browser.
    """
    page = write_report(run)
    print(page)
    if open:
        show(page)
