"""Progress on the terminal, and the records of ``log.jsonl``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from sparsenas.distributed.collectives import rank
from sparsenas.rundir.folder import Run
from sparsenas.rundir.log import LOG, EpochEnd, LogLine, Note
from sparsenas.rundir.progress import Bar, Following
from sparsenas.rundir.stage_clock import StageClock


class RunLogger:
    """Messages on the terminal and records in a run folder."""

    def __init__(self, run: Run, quiet: bool = False, following: Following = Following()) -> None:  # noqa: B008
        """``following`` is what follows the work of its bars."""
        self.run, self.following = run, following
        self.console = Console(stderr=True, quiet=quiet or rank() > 0, highlight=False)

    def say(self, message: str) -> None:
        """Prints one line."""
        self.console.print(message, markup=False, soft_wrap=True)

    def note(self, stage: str, message: str) -> None:
        """Prints one line and records it."""
        self.record(Note(stage=stage, message=message))
        self.say(f"{stage}: {message}")

    def record(self, line: LogLine) -> None:
        """Appends one line to the log."""
        self.run.append(LOG, [line])
        for follower in self.run.followers:
            follower.take(line)

    def rewind(self, stage: str, epoch: int) -> None:
        """Drops the epochs of a stage from ``epoch`` on: they are about to be trained again."""
        lines = [line for line in self.run.log() if _before(line, stage, epoch)]
        if self.run.has(LOG):
            self.run.write_lines(LOG, lines)
        for follower in self.run.followers:
            follower.rewind(lines, stage, epoch)

    @contextmanager
    def stage(self, name: str) -> Iterator[StageClock]:
        """Times a stage and records its end, with the counts that the caller has set."""
        clock = StageClock(self.run, name)
        yield clock
        self.record(clock.end())

    def bar(self, title: str, total: int, done: float = 0) -> Bar:
        """A progress bar over ``total`` units of which some may be done already."""
        return Bar(self.console, title, total, done, self.following)


def _before(line: LogLine, stage: str, epoch: int) -> bool:
    """Whether a line is no epoch of the stage, or one before ``epoch``."""
    return not isinstance(line, EpochEnd) or line.stage != stage or line.epoch < epoch
