"""What a stage takes: seconds, evaluations and passes, with those of processes that were interrupted."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Collection
from typing import ClassVar

from msgspec import Struct

from sparsenas.rundir.folder import Run
from sparsenas.rundir.log import StageEnd


class SpentSoFar(Struct, frozen=True, kw_only=True):
    """What was spent on a stage so far."""

    seconds: float = 0.0
    data_passes: int = 0
    """Passes over the validation examples."""


class Spent(Struct, frozen=True, kw_only=True):
    """``spent.json``: what was spent on the stages that are not finished, by their names."""

    FILE: ClassVar[str] = "spent.json"
    stages: dict[str, SpentSoFar]


class StageClock:
    """Times one stage. A stage that is resumed goes on from what the last ``keep`` has noted.

    ``evaluations`` and ``data_passes`` are set by the stage: architectures scored in all, and passes over the
    validation examples in this process.
    """

    def __init__(self, run: Run, stage: str, now: Callable[[], float] = time.monotonic) -> None:
        self.run, self.stage, self.now, self.start = run, stage, now, now()
        self.before = _stages(run).get(stage, SpentSoFar())
        self.evaluations: int | None = None
        self.data_passes: int | None = None

    def keep(self) -> None:
        """Notes in the run folder what was spent; to be called when work is saved from which the stage can go on."""
        part = SpentSoFar(seconds=self._seconds(), data_passes=self.before.data_passes + (self.data_passes or 0))
        self.run.write(Spent(stages={**_stages(self.run), self.stage: part}))

    def end(self) -> StageEnd:
        """The last line of the stage in the log."""
        passes, seconds = self.data_passes, self._seconds()
        forget(self.run, [self.stage])
        return StageEnd(
            stage=self.stage,
            seconds=seconds,
            peak_memory_mib=peak_memory_mib(),
            evaluations=self.evaluations,
            data_passes=None if passes is None else self.before.data_passes + passes,
            whole=True,
        )

    def _seconds(self) -> float:
        return round(self.before.seconds + self.now() - self.start, 2)


def forget(run: Run, stages: Collection[str]) -> None:
    """Drops what was spent on stages that begin anew, or are finished."""
    before = _stages(run)
    kept = {name: part for name, part in before.items() if name not in stages}
    if not kept:
        run.remove(Spent.FILE)
    elif len(kept) < len(before):
        run.write(Spent(stages=kept))


def _stages(run: Run) -> dict[str, SpentSoFar]:
    found = run.find(Spent)
    return found.stages if found else {}


def peak_memory_mib() -> int | None:
    """The largest resident memory of this process so far, in MiB; ``None`` on Windows, which does not tell it so."""
    try:
        import resource
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit // 2**20
