"""The resume file of a stage: written whole, kept twice, checked when it is read."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from sparsenas.distributed.collectives import broadcast_from_rank0, world
from sparsenas.errors import UserError, first_line
from sparsenas.rundir.folder import Run
from sparsenas.rundir.logger import RunLogger
from sparsenas.rundir.tensors import LOAD_ERRORS

NEWEST, PREVIOUS = "checkpoint.pt", "checkpoint.previous.pt"


AGREE_EVERY = 50
"""After so many steps several processes ask one another whether it is time for a checkpoint."""


class Checkpoint:
    """The state of one stage between two steps, written at most every few seconds; the last two are kept."""

    def __init__(self, run: Run, stage: str, seconds: float = 10.0) -> None:
        self.run, self.stage, self.seconds = run, stage, seconds
        self.saved = time.monotonic()

    def restore(self, parts: Mapping[str, Any]) -> bool:
        """Loads the state of every part if this stage was begun; says if it was.

        Where the newest file is damaged the one before serves, and that is noted in the log.
        Raises ``UserError`` when both are damaged, or the only one.
        """
        state = self._newest()
        try:
            if state["stage"] != self.stage:
                return False
            for name, part in parts.items():
                part.load_state_dict(state[name])
            return True
        except LOAD_ERRORS as error:
            reason = f"expected the state of this run, got another: {first_line(error)}"
            raise UserError(f"{self.run / NEWEST}: {reason}") from error

    def _newest(self) -> dict[str, Any]:
        kept = [name for name in (NEWEST, PREVIOUS) if self.run.has(name)]
        for i, name in enumerate(kept):
            try:
                state: dict[str, Any] = self.run.load(name)
                return state
            except UserError as error:
                if i == len(kept) - 1:
                    raise
                RunLogger(self.run).note(self.stage, f"{error}; continuing from {kept[i + 1]}")
        return {"stage": None}

    def save_within(self, step: int, parts: Mapping[str, Any]) -> None:
        """Writes the state of every part after ``step``, if it is time."""
        if world() == 1 or step % AGREE_EVERY == 0:
            self.save(parts)

    def save(self, parts: Mapping[str, Any]) -> None:
        """Writes the state of every part, if it is time."""
        if broadcast_from_rank0(lambda: time.monotonic() - self.saved >= self.seconds):
            states = {name: part.state_dict() for name, part in parts.items()}
            self.run.save(NEWEST, {"stage": self.stage, **states}, keep_as=PREVIOUS)
            self.saved = time.monotonic()

    def finish(self) -> None:
        """Forgets the stage: its result is written."""
        for name in (NEWEST, PREVIOUS):
            self.run.remove(name)
