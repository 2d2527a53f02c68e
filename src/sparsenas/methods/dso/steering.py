"""The weight of the penalty with which a budget is met in time."""

from __future__ import annotations

from typing import Any

MOST_GAIN = 10.0
"""Largest gain."""


class Steering:
    """Chooses gamma so that scales fall by the distance that is left until the deadline.

    A scale on which the loss does not depend, at rest at first, falls in n steps by ``lr gamma / (1 - momentum)`` times
    ``n - momentum (1 - momentum^n) / (1 - momentum)``. Where the loss holds scales up, gamma is multiplied by a gain,
    which grows when an epoch fell short of its share of the distance.
    """

    def __init__(self, lr: float, momentum: float, deadline: int) -> None:
        """``deadline`` is an epoch."""
        self.lr, self.momentum, self.deadline = lr, momentum, deadline
        self.distance, self.gain = 0.0, 1.0
        self.steps, self.epoch_steps = 0, 0
        """Steps of the scales in this epoch, and in the last one."""

    def end_epoch(self) -> None:
        """Begins to count the steps of an epoch."""
        self.epoch_steps, self.steps = self.steps, 0

    def gamma(self, distance: float, epoch: int) -> float:
        """The weight of the penalty in epoch ``epoch``, when scales must fall by ``distance``."""
        left = max(1, self.epoch_steps * (self.deadline - epoch) - self.steps)
        effective = left - self.momentum * (1 - self.momentum**left) / (1 - self.momentum)
        if self.distance > 0 and self.steps == 0:
            share = self.distance * self.epoch_steps / (left + self.epoch_steps)
            self.gain = min(max(self.gain * share / max(self.distance - distance, share / 2), 1.0), MOST_GAIN)
        self.distance = distance if self.steps == 0 else self.distance
        return self.gain * distance * (1 - self.momentum) / (self.lr * effective)

    def ceiling(self, most: float, epoch: int, start: int) -> float:
        """The largest reach now: ``most`` in the first epoch of the search, ``start``; then it falls to 1 evenly.

        It is 1 at the deadline. How many steps an epoch has is known only after the first one.
        """
        if self.epoch_steps == 0 or self.deadline - start < 2:
            return most
        done = (epoch - start - 1 + self.steps / self.epoch_steps) / (self.deadline - start - 1)
        return max(1.0, most - (most - 1) * done)

    def state(self) -> dict[str, Any]:
        """What resuming needs."""
        return {"distance": self.distance, "gain": self.gain, "steps": self.steps, "epoch_steps": self.epoch_steps}

    def load(self, state: dict[str, Any]) -> None:
        """Restores ``state``."""
        self.__dict__.update(state)
