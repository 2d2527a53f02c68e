"""Progress on the terminal, and the records of ``log.jsonl``."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from rich.console import Console

from sparsenas.distributed.collectives import rank
from sparsenas.rundir.folder import Run
from sparsenas.rundir.log import LOG, EpochEnd, LogLine, Note, StageEnd
from sparsenas.rundir.progress import Bar, Following


@dataclass
class StageCounts:
    """What a stage has counted, for its last line in the log."""

    evaluations: int | None = None
    """Architectures scored."""
    data_passes: int | None = None
    """Passes over the validation images."""


def peak_memory_mib() -> int | None:
    """The largest resident memory of this process so far, in MiB; ``None`` on Windows, which does not tell it so."""
    try:
        import resource
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit // 2**20


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
    def stage(self, name: str) -> Iterator[StageCounts]:
        """Times a stage and records its end, with the counts that the caller has set."""
        start, counts = time.monotonic(), StageCounts()
        yield counts
        seconds = round(time.monotonic() - start, 2)
        self.record(StageEnd(stage=name, seconds=seconds, peak_memory_mib=peak_memory_mib(), **asdict(counts)))

    def bar(self, title: str, total: int, done: float = 0) -> Bar:
        """A progress bar over ``total`` units of which some may be done already."""
        return Bar(self.console, title, total, done, self.following)


def _before(line: LogLine, stage: str, epoch: int) -> bool:
    """Whether a line is no epoch of the stage, or one before ``epoch``."""
    return not isinstance(line, EpochEnd) or line.stage != stage or line.epoch < epoch
