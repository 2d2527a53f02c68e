"""Any data object becomes a Data: data sets and loaders of torch and of Hugging Face, arrays, parts of these."""

from __future__ import annotations

import random
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
)

from sparsenas.data import Data, Split, as_data
from sparsenas.data.lazy import LazyExamples
from sparsenas.errors import UserError
from sparsenas.job.build import build_data
from sparsenas.job.plugin import Plugin
from sparsenas.nn.tree import tensors
from sparsenas.objectives import Classification
from sparsenas.testing import check_data

COUNT = 60
X, Y = torch.arange(COUNT, dtype=torch.float32).view(-1, 1).repeat(1, 4), torch.arange(COUNT) % 3
PAIR = (X, Y)


class Noisy(Dataset[Any]):
    """Examples of a number, its class, and noise from all three global generators."""

    def __init__(self, count: int = COUNT) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Any:
        noise = torch.rand(1) + np.random.rand() + random.random()
        return torch.cat([torch.tensor([float(index)]), noise]), index % 3


class Named(Noisy):
    """With the attributes that data sets of torchvision have."""

    classes = ("a", "b", "c")

    @property
    def targets(self) -> list[int]:
        return [i % 3 for i in range(self.count)]


class Lying(Noisy):
    """Its ``targets`` are not what its items have."""

    targets = list(range(COUNT))


class Keyed(Noisy):
    def __getitem__(self, index: int) -> Any:
        x, y = super().__getitem__(index)
        return {"left": x, "right": {"deep": index}, "label": y}


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Any:
        yield from (({"x": float(i)}, i % 3) for i in range(COUNT))


class Broken(Noisy):
    def __getitem__(self, index: int) -> Any:
        if index == 7:
            raise KeyError("no such file")
        return super().__getitem__(index)


def hugging(count: int = COUNT, **changes: Any) -> Any:
    label = datasets.ClassLabel(names=["a", "b", "c"])
    columns = {"x": [[float(i), 0.5] for i in range(count)], "label": [i % 3 for i in range(count)]}
    return datasets.Dataset.from_dict({**columns, **changes}).cast_column("label", label)


def noisy_rows(rows: Any) -> Any:
    return {"x": [torch.tensor(x) + torch.rand(2) for x in rows["x"]], "label": rows["label"]}


def pictures(count: int = 12) -> Any:
    images = [Image.new("RGB", (6, 4), (i, 0, 0)) for i in range(count)]
    return datasets.Dataset.from_dict({"img": images, "y": [i % 2 for i in range(count)]})


def padded(items: list[Any]) -> Any:
    """Batches as wide as their largest number, as of texts of different lengths."""
    width = max(int(x[0]) for x, _ in items) + 1
    return torch.stack([x[:1].expand(width) for x, _ in items]), torch.tensor([y for _, y in items])


OBJECTS = {
    "tensors": PAIR,
    "arrays": (X.double().numpy(), Y.numpy()),
    "lists": (X.tolist(), Y.tolist()),
    "tree of tensors": (({"a": X, "b": X.long()}, X), Y),
    "named columns": {"a": X, "b": X, "label": Y},
    "parts": {"train": PAIR, "val": PAIR, "test": PAIR},
    "train and test": (PAIR, PAIR),
    "split": Split(X, Y),
    "TensorDataset": TensorDataset(X, Y),
    "Subset": Subset(TensorDataset(X, Y), range(50)),
    "Dataset": Noisy(),
    "named Dataset": Named(),
    "keyed Dataset": Keyed(),
    "lying Dataset": Lying(),
    "Subset of a Dataset": Subset(Named(), range(10, 50)),
    "ConcatDataset": ConcatDataset([Named(), Named(20)]),
    "DataLoader": DataLoader(Noisy(), 8, shuffle=True),
    "DataLoader with workers": DataLoader(Noisy(20), 8, num_workers=2),
    "DataLoader with collate_fn": DataLoader(Noisy(), 8, collate_fn=padded),
    "IterableDataset": Stream(),
    "DataLoader of an IterableDataset": DataLoader(Stream(), 8),
    "memory and lazy": {"train": Noisy(), "val": (torch.rand(9, 2), torch.arange(9) % 3)},
    "Hugging Face": hugging(),
    "Hugging Face as torch": hugging().with_format("torch"),
    "Hugging Face with a transform": hugging().with_transform(noisy_rows),
    "Hugging Face parts": datasets.DatasetDict({"train": hugging(), "validation": hugging(9), "test": hugging(12)}),
    "Hugging Face stream": hugging().to_iterable_dataset(),
    "pictures": pictures(),
}
every_object = pytest.mark.parametrize("name", OBJECTS)
UNEVEN = {"DataLoader with collate_fn"}
"""The width of its batches is that of their largest example."""


@pytest.mark.parametrize("name", sorted(OBJECTS.keys() - UNEVEN))
def test_any_object_keeps_the_promises_of_data(name: str) -> None:
    data = as_data(OBJECTS[name])
    check_data(data, Classification(len(data.classes)))
    assert len(data.classes) == (2 if name == "pictures" else 3)
    floats = [leaf.dtype for leaf in tensors(data.train.example) if leaf.is_floating_point()]
    assert set(floats) <= {torch.float32}


@every_object
def test_the_split_is_of_the_seed_and_loses_nothing(name: str) -> None:
    first, again, other = (as_data(OBJECTS[name], seed, val_share=0.2) for seed in (0, 0, 1))
    assert (first.val_rows is None) == (name in ("parts", "memory and lazy", "Hugging Face parts"))
    if first.val_rows is not None:
        assert torch.equal(first.val_rows, again.val_rows)
        assert not torch.equal(first.val_rows, other.val_rows)
    sizes = [len(part) for part in (first.train, first.val, first.test)]
    assert sizes == [len(part) for part in (other.train, other.val, other.test)]
    if isinstance(OBJECTS[name], Noisy | TensorDataset) or name in ("tensors", "arrays", "DataLoader"):
        assert sum(sizes) == COUNT
        shares = [torch.bincount(part.targets, minlength=3) for part in (first.train, first.val, first.test)]
        assert all(share.max() - share.min() <= 1 for share in shares), "equal class shares"


def seen(data: Data, seed: int = 3, skip: int = 0) -> list[Tensor]:
    return [batch.inputs for batch in data.train.shuffled(8, seed, skip=skip)]


def test_random_augmentation_is_of_the_seed_alone() -> None:
    data, parallel = as_data(Noisy()), as_data(DataLoader(Noisy(), num_workers=2))
    torch.manual_seed(1)
    np.random.seed(1)
    random.seed(1)
    states = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    first, second = seen(data), seen(parallel)
    assert torch.equal(torch.stack(first), torch.stack(second)), "workers make no difference"
    assert torch.equal(torch.stack(first[2:]), torch.stack(seen(data, skip=2))), "nor does resuming"
    assert torch.equal(torch.get_rng_state(), states[0]), "the global generators are left alone"
    assert np.random.get_state()[1].tolist() == states[1]
    assert random.getstate() == states[2]
    by_number = [{float(row[0]): float(row[1]) for batch in seen(data, seed) for row in batch} for seed in (3, 4)]
    both = by_number[0].keys() & by_number[1].keys()
    assert both
    assert all(by_number[0][number] != by_number[1][number] for number in both), "other epochs, other noise"
    scored = [torch.cat([batch.inputs for batch in data.val.batches(size)]) for size in (1, 5)]
    assert torch.equal(*scored), "what is scored is always the same"


def test_tensors_are_kept_and_data_sets_are_read_when_needed() -> None:
    kinds = {name: type(as_data(OBJECTS[name]).train) for name in OBJECTS}
    lazy = {name for name, kind in kinds.items() if kind is LazyExamples}
    assert lazy == {name for name in OBJECTS if "Dataset" in name or "DataLoader" in name} - {
        "TensorDataset", "IterableDataset", "DataLoader of an IterableDataset"
    } | {"memory and lazy", "Hugging Face with a transform"}  # fmt: skip


def test_a_custom_collate_makes_the_batches() -> None:
    data = as_data(DataLoader(Noisy(), 8, collate_fn=padded))
    whole = next(data.train.batches(100)).inputs
    assert whole.shape == (len(data.train), int(whole.max()) + 1)
    assert torch.equal(seen(data)[0], seen(data)[0])


@pytest.mark.parametrize(
    "loader",
    [
        DataLoader(Noisy(), 4, sampler=SubsetRandomSampler(range(30))),
        DataLoader(Noisy(), 4, sampler=WeightedRandomSampler([1.0] * 30 + [0.0] * 30, 60)),
        DataLoader(Noisy(), batch_sampler=[[i, i + 1] for i in range(0, 30, 2)]),
        DataLoader(TensorDataset(X, Y), 4, sampler=SubsetRandomSampler(range(30))),
    ],
)
def test_a_sampler_decides_which_examples_not_their_order(loader: Any, capsys: pytest.CaptureFixture[str]) -> None:
    state = torch.get_rng_state()
    data = as_data({"train": loader, "val": (X[:, :2], Y), "test": (X[:, :2], Y)})
    assert torch.equal(state, torch.get_rng_state())
    found = sorted(float(row[0]) for batch in data.train.batches(7) for row in batch.inputs)
    assert found == list(range(30))
    assert "not its order" in capsys.readouterr().err


def test_the_usual_samplers_take_all() -> None:
    for sampler in (BatchSampler(SequentialSampler(Noisy()), 4, False),):
        assert len(as_data(DataLoader(Noisy(), batch_sampler=sampler, collate_fn=default_collate)).train) == 43


def test_pictures_become_bytes() -> None:
    data = as_data({"train": pictures(), "val": pictures(4), "test": pictures(4)})
    assert isinstance(data.train, Split)
    assert (data.train.inputs.dtype, tuple(data.train.inputs.shape)) == (torch.uint8, (12, 3, 4, 6))
    assert data.train.inputs[:, 0, 0, 0].tolist() == list(range(12))
    assert float(data.prepared(data.train.inputs).max()) == pytest.approx(11 / 255)


def test_numbers_keep_their_kind() -> None:
    inputs = {"real": X.double(), "ids": X.int(), "pixels": X.to(torch.uint8)}
    data = as_data((inputs, X[:, 0].double()))
    kinds = {name: leaf.dtype for name, leaf in data.train.example.items()}
    assert kinds == {"real": torch.float32, "ids": torch.int32, "pixels": torch.uint8}
    assert data.classes == ()
    maps = as_data((torch.rand(20, 1, 4, 4), torch.tensor([0, 2, 255, 1]).repeat(20, 4, 1)))
    assert maps.classes == ("0", "1", "2"), "255 is no class"


def test_names_of_classes() -> None:
    assert as_data(hugging()).classes == as_data(Named()).classes == ("a", "b", "c")
    assert as_data(DataLoader(Subset(Named(), range(30)))).classes == ("a", "b", "c")
    assert as_data(PAIR, classes=["x", "y", "z"]).classes == ("x", "y", "z")


def test_a_data_set_of_its_own_kind_stays_as_it_is() -> None:
    data = as_data(PAIR)
    assert as_data(data) is data


MISTAKES: dict[str, tuple[Any, str]] = {
    "a number": (3, "expected a Data, a torch Dataset"),
    "the class": (Noisy, "got type"),
    "uneven": ((X, Y[:-1]), "expected as many targets as inputs, got 60 and 59"),
    "text": ((["a", "b", "c"], [0, 1, 2]), "expected numbers, got text: 'a'"),
    "text targets": ((X, np.array(["cat"] * COUNT)), "expected numbers, got text: 'cat'"),
    "other parts": ({"training": PAIR, "unsupervised": PAIR}, "expected parts train, val and test, got training, uns"),
    "empty": (TensorDataset(X[:0], Y[:0]), "expected at least one example, got none"),
    "empty part": ({"train": PAIR, "val": (X[:0], Y[:0])}, "val part: expected at least one example"),
    "too few": ((X[:2], Y[:2]), "expected at least 3 examples, to be split"),
    "an error": (Broken(), "example 7: KeyError: 'no such file' (test_objects.py, line "),
    "an error in a worker": (DataLoader(Broken(), num_workers=1), "example 7: KeyError: 'no such file'"),
    "an error in collate": (DataLoader(Noisy(), collate_fn=lambda items: items[5]), "IndexError: list index"),
    "three things": (TensorDataset(X, X, Y), "expected (input, target), several inputs in a tuple"),
    "no target": (hugging().rename_column("label", "c").cast_column("c", datasets.Value("int64")), "one column of"),
    "shapes": (datasets.Dataset.from_dict({"x": [[1.0]] * 9 + [[1.0, 2.0]], "y": [0] * 10}), "and, 9 later, (2,)"),
    "no length": (type("Endless", (Dataset,), {"__getitem__": lambda s, i: (X[0], 0)})(), "has no __len__"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line(name: str) -> None:
    value, told = MISTAKES[name]
    with pytest.raises(UserError) as error:
        as_data(value)
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_a_wrong_target_is_told_with_its_example() -> None:
    class Wrong(Named):
        def __getitem__(self, index: int) -> Any:
            return X[index], 9 if index == 41 else index % 3

    whole = as_data({"train": Wrong(), "val": PAIR, "test": PAIR})
    assert isinstance(whole.train, LazyExamples)
    checked = replace(whole.train, check=Classification(3).check_targets)
    with pytest.raises(UserError, match=r"from 0 to 2 as targets, got 9 \(example 41 of the data set\)"):
        list(checked.shuffled(20, 0))
    with pytest.raises(UserError, match="got 9"):
        check_data(whole, Classification(3))


def test_the_data_set_in_the_pages_keeps_the_promises_of_data() -> None:
    blocks = re.findall(r"```python\n(.*?)```", (Path(__file__).parent.parent / "docs/data.md").read_text(), re.DOTALL)
    scope = dict[str, Any]()
    exec(next(block for block in blocks if "class Waves" in block), scope)
    data = as_data(scope["make"]())
    check_data(data, Classification(3))
    assert (tuple(data.example.shape), data.classes) == ((1, 1, 64), ("0", "1", "2"))


def test_check_data_finds_what_is_not_repeatable() -> None:
    class Counting(Noisy):
        calls = 0

        def __getitem__(self, index: int) -> Any:
            Counting.calls += 1
            return torch.tensor([float(Counting.calls)]), index % 3

    with pytest.raises(AssertionError, match="batches read again"):
        check_data(Counting())


def test_the_command_line_takes_any_object_of_a_callable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "anydata.py").write_text(
        "import torch\n"
        "from torch.utils.data import TensorDataset\n"
        "def make(): return TensorDataset(torch.rand(90, 1, 8, 8), torch.arange(90) % 3)\n"
        "def empty(): return torch.rand(0, 2), torch.rand(0)\n"
        "def nothing(): return None\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(tmp_path)
    data = build_data(Plugin("anydata:make"), seed=0)
    assert ([len(part) for part in (data.train, data.val, data.test)], data.shape) == ([64, 8, 18], (1, 8, 8))
    for name, told in (("empty", "expected at least one example, got none"), ("nothing", "got NoneType")):
        with pytest.raises(UserError, match=f"^--data anydata:{name}: .*{told}"):
            build_data(Plugin(f"anydata:{name}"), seed=0)
