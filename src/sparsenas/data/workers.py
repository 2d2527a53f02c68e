"""How worker processes that load data begin."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Begin:
    """Leaves SIGTERM to the main process, which then stops in order; schedulers send it to all processes of a job.

    A worker ends with the main process. Called by ``DataLoader`` with the worker's number.
    """

    own: Callable[[int], None] | None = None
    """What a loader of the user's own does in each worker."""

    def __call__(self, worker: int) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if self.own is not None:
            self.own(worker)
