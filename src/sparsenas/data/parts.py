"""One part of the data, from a torch or Hugging Face data set, a loader, or arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
)
from torch.utils.data.distributed import DistributedSampler

from sparsenas.data.dataset import Examples, Split
from sparsenas.data.encoded import EncodedImages
from sparsenas.data.huggingface import is_huggingface, rows
from sparsenas.data.items import as_targets, as_tensors, is_array, pair, stacked_pairs
from sparsenas.data.lazy import LazyExamples, own_generators
from sparsenas.data.telling import tell
from sparsenas.data.workers import Begin
from sparsenas.errors import UserError
from sparsenas.nn.tree import concatenated, tensors

WHOLE = (RandomSampler, SequentialSampler, DistributedSampler)
"""Samplers that decide the order of all examples, which is decided anew here."""
COMPARED = 8
"""Examples that are read to see whether an attribute ``targets`` of a data set has their targets."""


class Part(NamedTuple):
    """The examples of one part, and the names of their classes where the object has them."""

    examples: Examples
    classes: tuple[str, ...] = ()


def part_of(value: Any) -> Part:
    """The examples of any data object. Raises ``UserError`` for anything else."""
    if isinstance(value, Split | LazyExamples | EncodedImages):
        return Part(value)
    if is_huggingface(value):
        return Part(*rows(value))
    if isinstance(value, DataLoader):
        return _of_loader(value)
    if isinstance(value, IterableDataset):
        tell(f"{type(value).__name__} has no order of its own; its examples are read once and kept in memory")
        pairs = list(map(pair, value))
        if not pairs:
            raise UserError("expected at least one example, got none")
        return Part(Split(*stacked_pairs(pairs)))
    if isinstance(value, Dataset):
        return _of_dataset(value)
    if isinstance(value, tuple | list | Mapping):
        return Part(_of_arrays(*pair(value)))
    raise UserError(
        "expected a Data, a torch Dataset or DataLoader, a Hugging Face dataset, a pair (inputs, targets) of tensors "
        f"or arrays, or a dictionary of such parts, got {type(value).__name__}"
    )


def _of_arrays(inputs: Any, targets: Any) -> Split:
    return checked_counts(Split(as_tensors(inputs), as_targets(targets)))


def checked_counts(split: Split) -> Split:
    """The examples, if all their tensors are of as many. Raises ``UserError``."""
    leaves = [*tensors(split.inputs), *tensors(split.targets)]
    if not leaves or any(leaf.dim() == 0 for leaf in leaves):
        raise UserError("expected tensors whose first dimension is the examples, got a single number")
    counts = [len(leaf) for leaf in leaves]
    if len(set(counts)) != 1:
        raise UserError(f"expected as many targets as inputs, got {' and '.join(map(str, counts))}")
    return split


def _of_dataset(dataset: Any) -> Part:
    """In memory where the items cannot be random, else read when they are needed."""
    try:
        count = len(dataset)
    except (TypeError, NotImplementedError) as error:
        raise UserError(f"expected a data set with a length, {type(dataset).__name__} has no __len__") from error
    if (split := _in_memory(dataset)) is not None:
        return Part(split, _classes(dataset))
    examples = LazyExamples(dataset, torch.arange(count))
    return Part(replace(examples, known=_known(dataset, examples)), _classes(dataset))


def _in_memory(dataset: Any) -> Split | None:
    """The examples of tensors in memory, and of parts of such."""
    if type(dataset) is TensorDataset:
        return _of_arrays(*pair(dataset.tensors))
    if type(dataset) is Subset:
        whole = _in_memory(dataset.dataset)
        return None if whole is None else whole.subset(torch.as_tensor(dataset.indices, dtype=torch.long))
    return None


def _classes(dataset: Any) -> tuple[str, ...]:
    """The names of the classes: ``dataset.classes``, as data sets of torchvision have it; a part has the whole's."""
    if isinstance(dataset, Subset):
        return _classes(dataset.dataset)
    if isinstance(dataset, ConcatDataset):
        return _classes(dataset.datasets[0])
    names = getattr(dataset, "classes", ())
    return tuple(map(str, names)) if isinstance(names, tuple | list) else ()


def _known(dataset: Any, examples: LazyExamples) -> Tensor | None:
    """The class of each example from ``dataset.targets``, if some examples that are read have just those."""
    found = _listed(dataset)
    if found is None or len(found) != len(examples) or len(found) == 0:
        return None
    asked = torch.linspace(0, len(found) - 1, min(COMPARED, len(found))).long()
    read = torch.cat([batch.targets.reshape(-1)[:1] for batch in examples.subset(asked).batches(1)])
    return found if torch.equal(read, found[asked]) else None


def _listed(dataset: Any) -> Tensor | None:
    """The whole numbers in ``dataset.targets``; of parts of data sets, those of the parts."""
    if isinstance(dataset, Subset):
        whole = _listed(dataset.dataset)
        return None if whole is None else whole[torch.as_tensor(dataset.indices, dtype=torch.long)]
    if isinstance(dataset, ConcatDataset):
        parts = [found for one in dataset.datasets if (found := _listed(one)) is not None]
        return torch.cat(parts) if len(parts) == len(dataset.datasets) else None
    found = getattr(dataset, "targets", None)
    numbers = as_targets(found) if found is not None and is_array(found) else None
    return numbers if isinstance(numbers, Tensor) and numbers.dtype == torch.long and numbers.dim() == 1 else None


def _of_loader(loader: DataLoader[Any]) -> Part:
    """The data set of a loader, read in the order that a run decides; the loader's own code makes batches of items."""
    if isinstance(loader.dataset, IterableDataset) or loader.batch_size is None and loader.batch_sampler is None:
        tell("a DataLoader without an order of its own; its examples are read once and kept in memory")
        batches = [(as_tensors(x), as_targets(y)) for x, y in map(pair, loader)]
        return Part(Split(concatenated([x for x, _ in batches]), concatenated([y for _, y in batches])))
    examples, classes = part_of(loader.dataset)
    if (chosen := _chosen(loader)) is not None:
        examples = examples.subset(chosen)
    if isinstance(examples, LazyExamples):
        collate = None if loader.collate_fn is default_collate else loader.collate_fn
        examples = replace(examples, collate=collate, loading=_loading(loader))
    elif loader.collate_fn is not default_collate:
        kept = LazyExamples(loader.dataset, torch.arange(len(loader.dataset)))  # type: ignore[arg-type]
        kept = kept if chosen is None else kept.subset(chosen)
        examples = replace(kept, collate=loader.collate_fn, loading=_loading(loader))
    return Part(examples, classes)


def _loading(loader: DataLoader[Any]) -> dict[str, Any]:
    return {
        "num_workers": loader.num_workers,
        "worker_init_fn": Begin(loader.worker_init_fn),
        "multiprocessing_context": loader.multiprocessing_context,
    }


def _chosen(loader: DataLoader[Any]) -> Tensor | None:
    """The examples that a loader's own sampler picks, sorted; ``None`` = all."""
    sampler: Any = loader.sampler
    if type(loader.batch_sampler) is BatchSampler and isinstance(sampler, WHOLE):
        return None
    if isinstance(sampler, WeightedRandomSampler):
        picked: Iterable[int] = sampler.weights.nonzero()[:, 0].tolist()
    else:
        own_batches = type(loader.batch_sampler) is not BatchSampler
        with own_generators():
            picked = {i for batch in loader.batch_sampler for i in batch} if own_batches else set(sampler)  # type: ignore[union-attr]
    rows_ = torch.tensor(sorted(picked), dtype=torch.long)
    tell(f"of the DataLoader's sampler only the choice of {len(rows_)} examples is used, not its order or weights")
    return rows_
