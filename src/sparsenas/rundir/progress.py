"""Progress of long work: a live bar on a terminal, lines in a log."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Timer
from types import TracebackType
from typing import NamedTuple

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

LIVE_SECONDS = 0.2
"""A live bar moves at most this often."""
LOG_SECONDS = 5.0
"""In a log, finished units print lines at most this often. On a terminal, facts are renewed this often."""
EARLY_SECONDS = 8.0
"""In a log, an unfinished unit prints its first line after this time if there has been no line yet."""
WITHIN_SECONDS = 30.0
"""In a log, an unfinished unit prints further lines this often."""
SLOW_SECONDS = 2.0
"""Work without a bar is told once it has taken this long."""


@contextmanager
def told_if_slow(say: Callable[[str], object], message: str) -> Iterator[None]:
    """Says what is being done, unless it is done soon."""
    timer = Timer(SLOW_SECONDS, say, [message])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def clock(seconds: float) -> str:
    """Seconds as minutes:seconds or hours:minutes:seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class Following(NamedTuple):
    """The trainings of other networks that follow the work of a bar."""

    networks: int = 0
    alike: bool = True
    """Whether each takes about as long as the work of the bar, so that the time for all of them is known."""


class Bar:
    """Progress over ``total`` units of work, such as epochs; use as a context.

    Units that take long report parts of themselves by ``within``.

    Args:
        console: where to show it.
        title: what is done.
        total: units in all.
        done: units, and perhaps a part of one, that were done before.
        following: what follows; its time is told as well.
        now: the time in seconds.
    """

    def __init__(
        self,
        console: Console,
        title: str,
        total: int,
        done: float = 0,
        following: Following = Following(),  # noqa: B008
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.console, self.title, self.total, self.following, self.now = console, title, total, following, now
        self.done, self.position = int(done), float(done)
        self.first, self.start = self.position, now()
        self.moved = self.told = self.start
        self.facts, self.lines = "", 0
        self.live: tuple[Progress, TaskID] | None = None

    def __enter__(self) -> Bar:
        if self.console.is_terminal and not self.console.quiet:
            text = TextColumn("{task.fields[facts]}")
            columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), text
            progress = Progress(*columns, console=self.console)
            self.live = progress, progress.add_task(self.title, total=self.total, facts="")
            self._move(self.start)
            progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.live is not None:
            self.live[0].stop()

    def expect(self, total: int) -> None:
        """Says that there are so many units in all."""
        self.total = total
        if self.live is not None:
            progress, task = self.live
            progress.update(task, total=total)

    def advance(self, facts: str = "", by: int = 1) -> None:
        """Counts ``by`` more units as done and shows a few facts."""
        self.done += by
        self.position = float(self.done)
        now = self.now()
        if self.live is not None or now - self.told >= LOG_SECONDS or self.done >= self.total:
            self._tell(now, facts)

    def within(self, part: float, facts: Callable[[], str] = lambda: "") -> None:
        """Says that ``part`` more units are done, counted from the last ``advance``.

        May be called in every step. ``facts`` is called only when it is shown, every few seconds at most. So it may
        wait for a device.
        """
        if self.console.quiet:
            return
        now = self.now()
        if now - self.told >= self._wait():
            self.position = self.done + part
            self._tell(now, facts())
        elif self.live is not None and now - self.moved >= LIVE_SECONDS:
            self.position = self.done + part
            self._move(now)

    def _wait(self) -> float:
        """Seconds between lines within a unit."""
        if self.live is not None:
            return LOG_SECONDS
        return WITHIN_SECONDS if self.lines else EARLY_SECONDS

    def _tell(self, now: float, facts: str) -> None:
        self.told, self.facts = now, facts
        if self.live is not None:
            self._move(now)
            return
        self.lines += 1
        line = f"{self.title} {int(self.position)}/{self.total}  {facts}  {self._time(now)}"
        self.console.print(line, markup=False, soft_wrap=True)

    def _move(self, now: float) -> None:
        assert self.live is not None
        self.moved, (progress, task) = now, self.live
        progress.update(task, completed=self.position, facts=f"{self.facts}  {self._time(now)}")

    def _time(self, now: float) -> str:
        """The time left, or in the end the time it took; with the time for what follows."""
        since, ended = self.position - self.first, self.position >= self.total
        rate = (now - self.start) / since if since > 0 else None
        left = "" if rate is None else f"{clock(rate * (self.total - self.position))} left"
        return (f"took {clock(now - self.start)}" if ended else left) + self._after(rate)

    def _after(self, rate: float | None) -> str:
        """What follows, and the time until all of it is done, where ``rate`` is the time of a unit."""
        count, alike = self.following
        if count == 0 or rate is None:
            return ""
        networks = "1 more network" if count == 1 else f"{count} more networks"
        if not alike:
            return f", then {networks}"
        seconds = clock(rate * (self.total - self.position + count * self.total))
        return f", {seconds} {'left for' if self.position >= self.total else 'with'} {networks}"
