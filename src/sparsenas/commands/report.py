"""``sparsenas report``: one HTML file about a run."""

from __future__ import annotations

from pathlib import Path

from sparsenas.reporting import report as write_report


def report(run: Path) -> None:
    """Writes report.html from the files of a run folder; it opens offline.

    Args:
        run: run folder.
    """
    print(write_report(run))
