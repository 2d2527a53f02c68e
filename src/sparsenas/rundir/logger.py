"""What a user sees while work goes on, and what stays of it in ``log.jsonl``."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from sparsenas.distributed.collectives import rank
from sparsenas.rundir.folder import Run

PLAIN_SECONDS = 5.0
"""Where standard error is no terminal, a line of progress is printed about this often."""


def peak_memory_mib() -> int:
    """The most memory this process has held so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def clock(seconds: float) -> str:
    """Seconds as minutes:seconds or hours:minutes:seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class RunLogger:
    """Progress on the terminal and records in a run folder.

    On a terminal there is a live bar with the time left; in a log file plain lines, one every few seconds.
    """

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

    def bar(self, title: str, total: int, done: int = 0) -> Bar:
        """A progress bar over ``total`` units of which some may be done already."""
        return Bar(self.console, title, total, done)


class Bar:
    """Progress of one piece of work; use as a context."""

    def __init__(self, console: Console, title: str, total: int, done: int) -> None:
        self.console, self.title, self.total, self.done = console, title, total, done
        self.first, self.start, self.printed = done, time.monotonic(), time.monotonic()
        self.live: Progress | None = None
        self.task: TaskID | None = None

    def __enter__(self) -> Bar:
        if self.console.is_terminal and not self.console.quiet:
            self.live = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[facts]}"),
                TimeRemainingColumn(),
                console=self.console,
            )
            self.task = self.live.add_task(self.title, total=self.total, completed=self.done, facts="")
            self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.live is not None:
            self.live.stop()

    def advance(self, facts: str = "", by: int = 1) -> None:
        """Counts ``by`` more units and shows a few facts beside them."""
        self.done += by
        if self.live is not None and self.task is not None:
            self.live.update(self.task, completed=self.done, facts=facts)
            return
        now = time.monotonic()
        if now - self.printed >= PLAIN_SECONDS or self.done >= self.total:
            self.printed = now
            left = (now - self.start) / max(1, self.done - self.first) * (self.total - self.done)
            ending = f"{clock(left)} left" if self.done < self.total else f"took {clock(now - self.start)}"
            self.console.print(
                f"{self.title} {self.done}/{self.total}  {facts}  {ending}", markup=False, soft_wrap=True
            )
