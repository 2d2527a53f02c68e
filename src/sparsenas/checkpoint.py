"""The resume file of a stage: written whole, kept twice, checked when it is read."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from sparsenas.errors import UserError, first_line
from sparsenas.journal import Journal
from sparsenas.runs import STRANGE, Run

NEWEST, PREVIOUS = "checkpoint.pt", "checkpoint.previous.pt"


class Checkpoint:
    """The state of one stage at ends of epochs, written at most every few seconds; the last two are kept."""

    def __init__(self, run: Run, stage: str, seconds: float = 10.0) -> None:
        self.run, self.stage, self.seconds = run, stage, seconds
        self.saved = time.monotonic()

    def restore(self, parts: Mapping[str, Any]) -> int:
        """Loads the state of every part if this stage was begun; returns the epochs done.

        Where the newest file is damaged the one before serves, and that is noted in the log.
        Raises ``UserError`` when both are damaged, or the only one.
        """
        state = self._newest()
        try:
            if state["stage"] != self.stage:
                return 0
            for name, part in parts.items():
                part.load_state_dict(state[name])
            return int(state["epoch"])
        except STRANGE as error:
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
                Journal(self.run).note(self.stage, f"{error}; continuing from {kept[i + 1]}")
        return {"stage": None}

    def save(self, epoch: int, parts: Mapping[str, Any]) -> None:
        """Writes the state of every part after ``epoch`` epochs, if it is time."""
        if time.monotonic() - self.saved >= self.seconds:
            states = {name: part.state_dict() for name, part in parts.items()}
            self.run.save(NEWEST, {"stage": self.stage, "epoch": epoch, **states}, keep_as=PREVIOUS)
            self.saved = time.monotonic()

    def finish(self) -> None:
        """Forgets the stage: its result is written."""
        for name in (NEWEST, PREVIOUS):
            self.run.remove(name)
