"""How the outputs of candidates come about."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence

from sparsenas.core.arch import Arch
from sparsenas.nn.tree import Tree

Tick = Callable[[], object]
"""Called after each batch of a candidate."""


class Way(ABC):
    """A way to run the candidates of one supernet on fixed batches; all give the same outputs, but for rounding."""

    @abstractmethod
    def outputs(self, archs: Sequence[Arch], tick: Tick) -> Iterator[tuple[int, int, Tree]]:
        """The outputs of distinct candidates on this process's validation batches, their norms recalibrated.

        Each comes with the numbers of the batch and of the candidate; where one comes twice, the last one counts.
        """
