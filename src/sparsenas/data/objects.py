"""Any data object as a ``Data``: data sets and loaders of torch, of Hugging Face, arrays, and parts of these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from sparsenas.data.dataset import Data, Examples, Split, order_of
from sparsenas.data.items import TARGETS, is_array
from sparsenas.data.lazy import Kept, LazyExamples
from sparsenas.data.parts import Part, checked_counts, part_of
from sparsenas.data.splits import stratified
from sparsenas.data.telling import tell
from sparsenas.errors import UserError, told
from sparsenas.nn.tree import Tree, tensors

NAMES = {"training": "train", "valid": "val", "validation": "val", "dev": "val", "eval": "val", "testing": "test"}
"""Other names of the parts."""
PARTS = ("train", "val", "test")
TOLD = 10_000
"""Examples from which on it is told that all are read to learn their classes."""
MOST_CLASSES = 1_000_000
"""Larger numbers are no classes."""
IGNORED = 255
"""The target of pixels that count nowhere."""


def as_data(
    value: Any, seed: int = 0, val_share: float = 0.1, test_share: float = 0.2, classes: Sequence[str] = ()
) -> Data:
    """Any data object as a ``Data``.

    Args:
        value: a ``Data``; a map-style ``Dataset`` of torch, whose items are (input, target) or dictionaries with a key
            ``label`` or ``target``; a ``DataLoader``, of which data set, ``collate_fn`` and workers are used; a data
            set of Hugging Face; a pair (inputs, targets) of tensors or arrays whose first dimension is the examples; or
            several of these: a dictionary with ``train`` and perhaps ``val`` and ``test``, or a tuple (train, test) or
            (train, val, test). Inputs and targets may be trees of tensors.
        seed: seed of the validation split.
        val_share: share of the training examples that is the validation split, if the object has none.
        test_share: share of all examples that is the test split, if the object has none; always the same ones.
        classes: names of the classes; by default those of the object, else their numbers.

    Raises ``UserError`` for anything else, and for parts without examples.
    """
    if isinstance(value, Data):
        return _checked(value)
    for name, share in (("val_share", val_share), ("test_share", test_share)):
        if not 0 < share < 1:
            raise UserError(f"{name}: expected 0 < {name} < 1, got {share}")
    given = _parts(value)
    found = {name: _part(f"{name} part: " if len(given) > 1 else "", one) for name, one in given.items()}
    names = tuple(classes) or next((part.classes for part in found.values() if part.classes), ())
    parts = {name: part.examples for name, part in found.items()}
    if not names:
        parts, names = _numbered(parts)
    train, val, test, rows = _divided(_alike(parts), seed, val_share, test_share)
    return Data(names, train, val, test, val_rows=rows)


def _checked(data: Data) -> Data:
    for name, part in zip(PARTS, (data.train, data.val, data.test), strict=True):
        if not isinstance(part, Examples):
            raise UserError(f"{name}: expected a Split or other Examples, got {type(part).__name__}")
        if isinstance(part, Split):
            try:
                checked_counts(part)
            except UserError as error:
                raise UserError(f"{name} part: {error}") from error
    return data


def _parts(value: Any) -> Mapping[str, Any]:
    """The parts of an object by name."""
    if isinstance(value, Mapping) and not any(is_array(one) for name, one in value.items() if name in TARGETS):
        named = {NAMES.get(str(name), str(name)): one for name, one in value.items()}
        if "train" not in named or not set(named) <= set(PARTS):
            raise UserError(f"expected parts train, val and test, got {', '.join(map(str, value)) or 'none'}")
        return {name: named[name] for name in PARTS if name in named}
    if isinstance(value, tuple | list) and 2 <= len(value) <= 3 and not any(map(is_array, value[-1:])):
        return dict(zip(PARTS if len(value) == 3 else ("train", "test"), value, strict=True))
    return {"train": value}


def _part(where: str, value: Any) -> Part:
    try:
        part = part_of(value)
    except UserError as error:
        raise UserError(f"{where}{error}") from error
    except Exception as error:
        raise UserError(f"{where}{told(error)}") from error  # code of the user's may run here
    if len(part.examples) == 0:
        raise UserError(f"{where}expected at least one example, got none")
    return part


def _alike(parts: Mapping[str, Examples]) -> dict[str, Examples]:
    """All parts in memory or none, so that they can be joined."""
    if not any(isinstance(part, LazyExamples) for part in parts.values()):
        return dict(parts)
    return {name: _lazy(part) if isinstance(part, Split) else part for name, part in parts.items()}


def _lazy(split: Split) -> LazyExamples:
    known = split.targets if _is_numbers(split.targets) else None
    return LazyExamples(Kept(split), torch.arange(len(split)), known)


def _divided(
    parts: Mapping[str, Examples], seed: int, val_share: float, test_share: float
) -> tuple[Examples, Examples, Examples, Tensor | None]:
    """Training, validation and test examples, and the numbers of the validation examples if they were split off."""
    train, val, test = (parts.get(name) for name in PARTS)
    assert train is not None
    least = 1 + (val is None) + (test is None)
    if len(train) < least:
        raise UserError(f"expected at least {least} examples, to be split into the missing parts, got {len(train)}")
    rows = torch.arange(len(train))
    if test is None:
        rest, chosen = _split(train, test_share, 0)
        train, test, rows = train.subset(rest), train.subset(chosen), rows[rest]
    if val is not None:
        return train, val, test, None
    rest, chosen = _split(train, val_share, seed)
    return train.subset(rest), train.subset(chosen), test, rows[chosen]


def _split(examples: Examples, share: float, seed: int) -> tuple[Tensor, Tensor]:
    """The numbers of the examples in two parts: with equal class shares where each class allows it, else at random."""
    if _is_numbers(examples.targets):
        try:
            return stratified(examples.targets.cpu().numpy(), share, seed)  # type: ignore[union-attr]
        except UserError:
            pass
    order, size = order_of(len(examples), seed), min(max(1, round(len(examples) * share)), len(examples) - 1)
    return order[size:].sort().values, order[:size].sort().values


def _numbered(parts: Mapping[str, Examples]) -> tuple[dict[str, Examples], tuple[str, ...]]:
    """The parts with their targets where those are whole numbers, which are then the names of the classes too.

    Examples that are read when they are needed are all read once for that.
    """
    known, most = dict(parts), -1
    for name, part in parts.items():
        unknown = isinstance(part, LazyExamples) and part.known is None
        targets = part.first(1).targets if isinstance(part, LazyExamples) and unknown else part.targets
        if not isinstance(targets, Tensor) or targets.is_floating_point() or targets.is_complex():
            return known, ()
        if isinstance(part, LazyExamples) and unknown:
            known[name], largest = _read(part)
        else:
            largest = _largest(targets)
        most = max(most, largest)
    if most >= MOST_CLASSES:
        raise UserError(f"expected class numbers below {MOST_CLASSES}, got {most}: are the targets something else?")
    return known, tuple(map(str, range(most + 1)))


def _read(part: LazyExamples) -> tuple[LazyExamples, int]:
    """The examples with their targets, if those are one number each, and the largest target."""
    if len(part) >= TOLD:
        note = f"reads all {len(part)} examples once to learn their classes; attributes `classes` and `targets` save it"
        tell(note)
    targets = [batch.targets for batch in part.batches(64)]
    largest = max(map(_largest, targets))
    if not all(map(_is_numbers, targets)):
        return part, largest
    known = torch.zeros(int(part.rows.max()) + 1, dtype=torch.long)
    known[part.rows] = torch.cat(targets)
    return replace(part, known=known), largest


def _is_numbers(targets: Tree | None) -> bool:
    """Whether targets are one whole number for each example."""
    return isinstance(targets, Tensor) and targets.dtype == torch.long and targets.dim() == 1


def _largest(targets: Tree) -> int:
    """The largest class number."""
    numbers = torch.cat([leaf.flatten() for leaf in tensors(targets)])
    counted = numbers[numbers != IGNORED] if targets.dim() > 1 else numbers
    return int(counted.max()) if len(counted) else -1
