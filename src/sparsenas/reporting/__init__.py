"""One HTML file from the files of a run folder; imports no space and no method.

It can be made at any time: during a run, after it, or on another machine.
"""

from __future__ import annotations

import os
from pathlib import Path

from sparsenas.errors import UserError
from sparsenas.reporting.page import page
from sparsenas.reporting.read import read_run

__all__ = ["report"]


def report(run: Path) -> Path:
    """Writes ``report.html`` into a run folder and returns its path.

    What has not been done yet is said so in its place. The file is replaced in one step, never seen half written.
    Raises ``UserError`` when ``run`` is no run folder, a file is not what it should be, or the page cannot be written.
    """
    target = run / "report.html"
    part = run / f".report.html.{os.getpid()}"
    text = page(read_run(run))
    try:
        with part.open("w", encoding="utf-8", errors="replace") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, target)
    except OSError as error:
        raise UserError(f"{target}: cannot be written: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)
    return target
