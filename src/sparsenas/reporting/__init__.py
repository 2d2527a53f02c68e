"""Pages about runs, from the files of their folders; imports no space and no method."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from sparsenas.errors import UserError
from sparsenas.reporting.document import compared, html
from sparsenas.reporting.loading import LoadedRun, load_run
from sparsenas.rundir.files import write_atomic


def report(run: Path) -> Path:
    """Writes ``report.html`` into a run folder and returns its path.

    A section says so where its stage has not been run yet; lines that cannot be read are left out and told. Raises
    ``UserError`` when ``run`` is no run folder, a file is damaged, or the page cannot be written.
    """
    return _written(run / "report.html", html(_loaded(run)))


def compare(runs: Sequence[Path], out: Path) -> Path:
    """Writes a page on which several runs stand side by side, and returns its path.

    The runs may be of different spaces and tasks, and unfinished. Raises ``UserError`` as ``report`` does, and for
    fewer than two runs.
    """
    if len(runs) < 2:
        raise UserError(f"expected at least two run folders, got {len(runs)}")
    return _written(out, compared([_loaded(run) for run in runs]))


def _loaded(run: Path) -> LoadedRun:
    loaded = load_run(run)
    for error in loaded.damaged:
        print(f"left out of the report: {error}", file=sys.stderr)
    return loaded


def _written(path: Path, page: str) -> Path:
    write_atomic(path, lambda file: file.write(page.encode("utf-8", "replace")))
    return path
