"""One HTML file from the files of a run folder; imports no space and no method."""

from __future__ import annotations

import sys
from pathlib import Path

from sparsenas.reporting.document import html
from sparsenas.reporting.loading import load_run
from sparsenas.rundir.files import write_atomic


def report(run: Path) -> Path:
    """Writes ``report.html`` into a run folder and returns its path.

    A section says so where its stage has not been run yet; lines that cannot be read are left out and told. Raises
    ``UserError`` when ``run`` is no run folder, a file is damaged, or the page cannot be written.
    """
    loaded, path = load_run(run), run / "report.html"
    for error in loaded.damaged:
        print(f"left out of the report: {error}", file=sys.stderr)
    write_atomic(path, lambda file: file.write(html(loaded).encode("utf-8", "replace")))
    return path
