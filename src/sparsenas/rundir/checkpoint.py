"""The checkpoint of a stage: written atomically, kept twice, checked when it is read."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from sparsenas.distributed.collectives import broadcast_from_rank0, world
from sparsenas.errors import UserError, first_line
from sparsenas.rundir.folder import Run
from sparsenas.rundir.logger import RunLogger
from sparsenas.rundir.tensors import LOAD_ERRORS

NONE: Mapping[str, Any] = {}
NEWEST, PREVIOUS = "checkpoint.pt", "checkpoint.previous.pt"
EVERY = "checkpoint*.pt"
"""Both, for messages."""
AGREE_EVERY = 50
"""Number of steps after which several processes agree whether a checkpoint is due."""


class Checkpoint:
    """The state of one stage between two steps, written at most every ``seconds``; the last two are kept."""

    def __init__(
        self,
        run: Run,
        stage: str,
        seconds: float = 10.0,
        settings: Mapping[str, Any] = NONE,
        kept: Callable[[], object] = lambda: None,
    ) -> None:
        """``kept`` is called whenever the state was written."""
        self.kept = kept
        self.run, self.stage, self.seconds, self.settings = run, stage, seconds, settings
        self.saved = time.monotonic()

    def interrupted(self) -> Mapping[str, Any]:
        """The settings of the training of this stage that was interrupted; empty where there is none.

        Raises ``UserError`` when no file is undamaged.
        """
        state = self._newest()
        found: Mapping[str, Any] = state.get("settings", NONE) if state["stage"] == self.stage else NONE
        return found

    def restore(self, parts: Mapping[str, Any]) -> bool:
        """Loads the state of every part if there is a checkpoint of this stage; returns whether there is one.

        Where the newest file is damaged the previous one is used, and the log notes it.
        Raises ``UserError`` when no file is undamaged.
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
                if not isinstance(state, dict) or "stage" not in state:
                    raise UserError(f"{self.run / name}: expected a checkpoint, got other values")
                return state
            except UserError as error:
                if i == len(kept) - 1:
                    raise UserError(f"{error}; remove {self.run / EVERY} to begin {self.stage} anew") from error
                RunLogger(self.run).note(self.stage, f"{error}; continuing from {kept[i + 1]}")
        return {"stage": None}

    def save_within(self, step: int, parts: Mapping[str, Any]) -> None:
        """Within an epoch, after ``step``: writes the state of every part if a checkpoint is due."""
        if world() == 1 or step % AGREE_EVERY == 0:
            self.save(parts)

    def save(self, parts: Mapping[str, Any]) -> None:
        """Writes the state of every part if a checkpoint is due."""
        if broadcast_from_rank0(lambda: time.monotonic() - self.saved >= self.seconds):
            states = {name: part.state_dict() for name, part in parts.items()}
            self.run.save(NEWEST, {"stage": self.stage, "settings": dict(self.settings), **states}, keep_as=PREVIOUS)
            self.saved = time.monotonic()
            self.kept()

    def finish(self) -> None:
        """Removes the checkpoints: the result of the stage is written."""
        for name in (NEWEST, PREVIOUS):
            self.run.remove(name)
