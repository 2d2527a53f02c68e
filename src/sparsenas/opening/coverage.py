"""How much of a network was opened, and why the rest was not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Coverage:
    """The multiply-adds of a network that depend on at least one choice."""

    under_choice: int = 0
    """Multiply-adds of layers whose channels, kernel or block may be cut."""
    whole: int = 0
    """Multiply-adds of the whole network, for one example as large as the one it was opened with."""
    closed: Mapping[str, str] = field(default_factory=dict)
    """Layers and choices that stay as they are, with the reason."""

    @property
    def share(self) -> float:
        """The share of the multiply-adds under choice, within 0..1."""
        return self.under_choice / self.whole if self.whole else 0.0
