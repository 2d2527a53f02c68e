"""What a user sees while work goes on, and what stays of it in ``log.jsonl``."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console

from sparsenas.distributed.collectives import rank
from sparsenas.rundir.folder import Run
from sparsenas.rundir.progress import Bar


def peak_memory_mib() -> int:
    """The most memory this process has held so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


class RunLogger:
    """Messages on the terminal and records in a run folder."""

    def __init__(self, run: Run, quiet: bool = False) -> None:
        self.run = run
        self.console = Console(stderr=True, quiet=quiet or rank() > 0, highlight=False)

    def say(self, message: str) -> None:
        """Prints one line."""
        self.console.print(message, markup=False, soft_wrap=True)

    def note(self, stage: str, message: str) -> None:
        """Prints one line and keeps it."""
        self.run.append("log.jsonl", [{"stage": stage, "event": "note", "message": message}])
        self.say(f"{stage}: {message}")

    def rewind(self, stage: str, epoch: int) -> None:
        """Forgets records of a stage from an epoch on: that part is about to be done again."""
        self.run.keep_lines("log.jsonl", lambda r: r.get("stage") != stage or r.get("epoch", -1) < epoch)

    def record(self, stage: str, **values: Any) -> None:
        """Keeps one record."""
        self.run.append("log.jsonl", [{"stage": stage, **values}])

    @contextmanager
    def stage(self, name: str) -> Iterator[dict[str, Any]]:
        """Times a stage; what the caller puts into the dictionary is recorded with it."""
        start = time.monotonic()
        facts: dict[str, Any] = {}
        yield facts
        seconds = round(time.monotonic() - start, 2)
        self.record(name, event="done", seconds=seconds, peak_memory_mib=peak_memory_mib(), **facts)

    def bar(self, title: str, total: int, done: float = 0) -> Bar:
        """A progress bar over ``total`` units of which some may be done already."""
        return Bar(self.console, title, total, done)
