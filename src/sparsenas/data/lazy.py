"""Examples of a map-style data set that are read when they are needed, batch by batch."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from sparsenas.data.dataset import ALL, Split, order_of
from sparsenas.data.items import as_targets, as_tensors, pair, stacked
from sparsenas.errors import UserError, told
from sparsenas.nn.tree import Tree, concatenated, count, map_tensors

FIXED = 0
"""Seed of the random generators where examples must always be the same: in scoring and evaluation."""


@contextmanager
def own_generators() -> Iterator[None]:
    """Leaves the global random generators of torch, numpy and Python as they were."""
    states = torch.default_generator.get_state(), np.random.get_state(), random.getstate()
    try:
        yield
    finally:
        torch.default_generator.set_state(states[0])
        np.random.set_state(states[1])
        random.setstate(states[2])


def seed_generators(seed: int, row: int) -> None:
    """Seeds the global random generators for one example."""
    first, second, third = np.random.SeedSequence([seed, row]).generate_state(3).tolist()
    torch.default_generator.manual_seed(first)
    np.random.seed(second)
    random.seed(third)


@dataclass(frozen=True)
class _Batches(Dataset[Any]):
    """Whole batches by the numbers of their examples; a text where reading fails, as workers lose types of errors."""

    dataset: Dataset[Any]
    collate: Callable[[list[Any]], Any] | None
    target: str | None
    seed: int

    def __getitem__(self, rows: Sequence[int]) -> tuple[Tree, Tree] | str:
        at = f"example {rows[0]}"
        try:
            with own_generators():
                items = []
                for row in rows:
                    at = f"example {row}"
                    seed_generators(self.seed, row)
                    items.append(self._item(self.dataset[row]))
                at = f"examples {rows[0]} to {rows[-1]}" if len(rows) > 1 else at
                inputs, targets = self._batch(items)
            if count(targets) != len(rows):
                return f"{at}: expected {len(rows)} targets in a batch, got {count(targets)}"
            return inputs, targets
        except UserError as error:
            return f"{at}: {error}"
        except Exception as error:
            return f"{at}: {told(error)}"

    def _item(self, item: Any) -> Any:
        return item if self.collate is not None else tuple(map(as_tensors, pair(item, self.target)))

    def _batch(self, items: list[Any]) -> tuple[Tree, Tree]:
        if self.collate is None:
            return stacked([x for x, _ in items]), as_targets(stacked([y for _, y in items]))
        inputs, targets = pair(self.collate(items), self.target)
        return as_tensors(inputs), as_targets(targets)


@dataclass(frozen=True)
class _Both(Dataset[Any]):
    """The items of one data set, then those of another."""

    first: Any
    second: Any

    def __len__(self) -> int:
        return len(self.first) + len(self.second)

    def __getitem__(self, row: int) -> Any:
        return self.first[row] if row < len(self.first) else self.second[row - len(self.first)]


@dataclass(frozen=True)
class Kept(Dataset[Any]):
    """Examples in memory as a data set of items."""

    split: Split

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, row: int) -> tuple[Tree, Tree]:
        one = map_tensors(lambda leaf: leaf[row], self.split.inputs)
        return one, map_tensors(lambda leaf: leaf[row], self.split.targets)


@dataclass(frozen=True)
class LazyExamples:
    """Examples that a data set gives when they are needed.

    The global random generators are seeded for each example by its number and the seed of the order, so that random
    augmentation in the data set depends neither on workers nor on where a training was resumed. ``batches`` always
    gives the same examples.
    """

    dataset: Any
    """Map-style: items by number, each (input, target), or a dictionary in which one key names the target."""
    rows: Tensor
    """The numbers of these examples in the data set, in order."""
    known: Tensor | None = None
    """The targets of all items of the data set, where they are known."""
    collate: Callable[[list[Any]], Any] | None = None
    """Makes a batch of items; by default their tensors are stacked."""
    target: str | None = None
    """The key of the target in an item; by default that of the usual names which is there."""
    loading: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments of the ``DataLoader``, such as ``num_workers``."""
    check: Callable[[Tree], None] | None = None
    """Raises ``UserError`` for targets that do not fit the objective."""
    device: torch.device = torch.device("cpu")

    @property
    def targets(self) -> Tensor | None:
        """The targets, where they are known without reading the examples."""
        return None if self.known is None else self.known[self.rows].to(self.device)

    @property
    def example(self) -> Tree:
        """The input of the first example, as a batch of one."""
        return self.first(1).inputs

    def first(self, size: int) -> Split:
        """The first examples as one batch."""
        return next(self._load(self.rows[None, :size], FIXED))

    def __len__(self) -> int:
        return len(self.rows)

    def subset(self, indices: Tensor) -> LazyExamples:
        """The examples at ``indices``."""
        return replace(self, rows=self.rows[indices.cpu()])

    def to(self, device: torch.device) -> LazyExamples:
        """The same examples; their batches will be on ``device``."""
        return replace(self, device=device)

    def join(self, other: LazyExamples) -> LazyExamples:
        """These examples, then others; a ``collate`` makes batches of both."""
        if other.dataset is self.dataset:
            return replace(self, rows=torch.cat([self.rows, other.rows]))
        known = None if self.known is None or other.known is None else torch.cat([self.known, other.known])
        rows = torch.cat([self.rows, other.rows + len(self.dataset)])
        return replace(self, dataset=_Both(self.dataset, other.dataset), rows=rows, known=known)

    def batches(self, size: int) -> Iterator[Split]:
        """The examples in order, in batches; the last may be smaller."""
        return self._load(self.rows.split(size) if len(self) else [], FIXED)

    def shuffled(self, size: int, seed: int, share: slice = ALL, skip: int = 0) -> Iterator[Split]:
        """The examples in an order that ``seed`` decides, in full batches.

        Only ``share`` of each batch is read, and of the first ``skip`` batches nothing.
        """
        size, order = min(size, len(self)), order_of(len(self), seed)
        rows = self.rows[order][: len(self) // size * size].view(-1, size)
        return self._load(rows[skip:, share], seed)

    def in_memory(self, size: int = 256) -> Split:
        """All examples, read now; they must be of one shape."""
        parts = list(self.batches(size))
        return Split(concatenated([part.inputs for part in parts]), concatenated([part.targets for part in parts]))

    def _load(self, batches: Sequence[Tensor] | Tensor, seed: int) -> Iterator[Split]:
        lists = [rows.tolist() for rows in batches]
        loader: DataLoader[Any] = DataLoader(
            _Batches(self.dataset, self.collate, self.target, seed),
            batch_size=None,
            sampler=lists,
            collate_fn=_as_it_is,
            pin_memory=self.device.type == "cuda",
            generator=torch.Generator(),
            **(self.loading if len(lists) > 1 else {}),
        )
        for rows, batch in zip(lists, loader, strict=True):
            if isinstance(batch, str):
                raise UserError(f"the data set: {batch}")
            if self.check is not None:
                self._check(rows, batch[1])
            yield Split(*(map_tensors(lambda leaf: leaf.to(self.device, non_blocking=True), part) for part in batch))

    def _check(self, rows: Sequence[int], targets: Tree) -> None:
        assert self.check is not None
        try:
            self.check(targets)
        except UserError as error:
            wrong = rows[first_wrong(targets, self.check)]
            raise UserError(f"{error} (example {wrong} of the data set)") from error


def first_wrong(targets: Tree, check: Callable[[Tree], None]) -> int:
    """The number of the first example whose target ``check`` refuses, by bisection; one must be refused."""
    low, high = 0, count(targets)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            check(map_tensors(lambda leaf, low=low, middle=middle: leaf[low:middle], targets))  # type: ignore[misc]
        except UserError:
            high = middle
        else:
            low = middle
    return low


def _as_it_is(batch: Any) -> Any:
    return batch
