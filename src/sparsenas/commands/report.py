"""``sparsenas report``: one HTML file about a run."""

from __future__ import annotations

import sys
import webbrowser
from pathlib import Path

from sparsenas.reporting import report as write_report


def report(run: Path, open: bool = False) -> None:
    """Writes report.html from the files of a run folder; it opens offline.

    Args:
        run: run folder.
        open: show the page in the browser.
    """
    page = write_report(run)
    print(page)
    if open and not webbrowser.open(page.resolve().as_uri()):
        print(f"no browser was found; open {page} yourself", file=sys.stderr)
