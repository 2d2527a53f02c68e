"""One HTML file from the files of a run folder; imports no space and no method.

It can be made at any time: during a run, after it, or on another machine.
"""

from __future__ import annotations

from pathlib import Path

from sparsenas.reporting.document import html
from sparsenas.reporting.loading import load_run
from sparsenas.rundir.files import write_atomic

__all__ = ["report"]


def report(run: Path) -> Path:
    """Writes ``report.html`` into a run folder and returns its path.

    A section says so where its stage has not been run yet. Raises ``UserError`` when ``run`` is no run folder, a file
    is damaged, or the page cannot be written.
    """
    path, text = run / "report.html", html(load_run(run))
    write_atomic(path, lambda file: file.write(text.encode("utf-8", "replace")))
    return path
