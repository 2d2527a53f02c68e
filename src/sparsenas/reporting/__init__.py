"""One HTML file from the files of a run folder; imports no space and no method.

It can be made at any time: during a run, after it, or on another machine.
"""

from __future__ import annotations

from pathlib import Path

from sparsenas.reporting.document import html
from sparsenas.reporting.loading import load_run
from sparsenas.rundir.files import write_atomic
from sparsenas.rundir.folder import Run
from sparsenas.rundir.logger import RunLogger


def report(run: Path) -> Path:
    """Writes ``report.html`` into a run folder and returns its path.

    A section says so where its stage has not been run yet; lines that cannot be read are left out and told. Raises
    ``UserError`` when ``run`` is no run folder, a file is damaged, or the page cannot be written.
    """
    loaded, path = load_run(run), run / "report.html"
    for error in loaded.damaged:
        RunLogger(Run(run)).say(f"left out of the report: {error}")
    write_atomic(path, lambda file: file.write(html(loaded).encode("utf-8", "replace")))
    return path
