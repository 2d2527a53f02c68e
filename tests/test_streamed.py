"""Tables read where they are: the same pictures as from memory, in an order that reads every group of rows once."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow
import pytest
import torch
from datasets import ClassLabel, Dataset, Features, Image
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Picture
from pyarrow import ipc, parquet

from sparsenas.data import parquet as load
from sparsenas.data.encoded import WINDOW, ConcatSource, EncodedImages, shuffled_by_windows
from sparsenas.data.sources.tables import ImageCells
from sparsenas.data.streaming import Group, StreamedTable
from sparsenas.errors import UserError

ROWS, GROUP = 120, 10


def rows(count: int = ROWS, seed: int = 0) -> dict[str, list[object]]:
    rng, pictures = np.random.default_rng(seed), list[object]()
    for _ in range(count):
        file = io.BytesIO()
        Picture.fromarray(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8)).save(file, "png")
        pictures.append({"bytes": file.getvalue(), "path": None})
    return {"image": pictures, "label": [i % 3 for i in range(count)]}


def as_parquet(folder: Path, name: str, columns: dict[str, list[object]]) -> None:
    parquet.write_table(pyarrow.table(columns), folder / f"{name}.parquet", row_group_size=GROUP)


def as_arrow(folder: Path, name: str, columns: dict[str, list[object]]) -> None:
    table = pyarrow.table(columns)
    with ipc.new_file(folder / f"{name}.arrow", table.schema) as file:
        file.write_table(table, max_chunksize=GROUP)


def as_stream(folder: Path, name: str, columns: dict[str, list[object]]) -> None:
    table = pyarrow.table(columns)
    with ipc.new_stream(folder / f"{name}.arrow", table.schema) as file:
        file.write_table(table, max_chunksize=GROUP)


Write = Callable[[Path, str, dict[str, list[object]]], None]
WRITERS = [as_parquet, as_arrow, as_stream]


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("workers", [0, 2])
def test_streamed_pictures_are_those_of_the_files(write: Write, workers: int, tmp_path: Path) -> None:
    write(tmp_path, "train-0", rows(seed=0))
    write(tmp_path, "train-1", rows(seed=1))
    write(tmp_path, "test", rows(30, seed=2))
    streamed = load(tmp_path, size=7, workers=workers, memory=0, streaming=True)
    held = load(tmp_path, size=7, workers=0)
    for part in ("train", "val", "test"):
        ours, theirs = getattr(streamed, part), getattr(held, part)
        assert isinstance(ours, EncodedImages)
        assert torch.equal(torch.cat([batch.inputs for batch in ours.batches(16)]), theirs.inputs)
        assert torch.equal(ours.targets, theirs.targets)
    both = streamed.train_val
    seen = [label for batch in both.shuffled(16, seed=3) for label in batch.targets.tolist()]
    assert len(seen) == len(both) // 16 * 16


def test_an_epoch_reads_every_group_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    as_parquet(tmp_path, "train", rows(30 * GROUP))
    as_parquet(tmp_path, "test", rows(30))
    data = load(tmp_path, size=7, workers=0, memory=0, streaming=True)
    read: Counter[int] = Counter()
    real = Group.read

    def counted(group: Group, name: str) -> object:
        read[group.number] += 1
        return real(group, name)

    monkeypatch.setattr(Group, "read", counted)
    orders = [torch.cat([batch.inputs for batch in data.train.shuffled(16, seed)]) for seed in (0, 0, 1)]
    assert torch.equal(orders[0], orders[1])
    assert not torch.equal(orders[0], orders[2])
    assert len(read) == 30
    assert max(read.values()) <= len(orders)


@given(st.lists(st.integers(0, 40), min_size=1, max_size=300), st.integers(0, 9))
def test_windows(numbers: list[int], seed: int) -> None:
    row_groups = torch.tensor(numbers)
    order = shuffled_by_windows(row_groups, seed)
    assert sorted(order.tolist()) == list(range(len(numbers)))
    assert torch.equal(order, shuffled_by_windows(row_groups, seed))
    gone, open_now = set[int](), set[int]()
    for shelf in row_groups[order].tolist():  # once eight row_groups are in use, the ninth ends the use of them all
        assert shelf not in gone
        if shelf not in open_now and len(open_now) == WINDOW:
            gone, open_now = gone | open_now, set()
        open_now.add(shelf)


def test_chained_shelves_are_apart(tmp_path: Path) -> None:
    as_parquet(tmp_path, "a", rows(20))
    cells = ImageCells(StreamedTable([tmp_path / "a.parquet"]), "image", "a")
    assert ConcatSource(cells, cells).row_groups(torch.tensor([0, 15, 20, 39])).tolist() == [0, 1, 2, 3]


def test_names_of_classes_are_the_files_own(tmp_path: Path) -> None:
    features = Features({"image": Image(), "label": ClassLabel(names=["ant", "bee", "cow"])})
    Dataset.from_dict(rows(), features=features).to_parquet(tmp_path / "train.parquet")
    for streaming in (False, True):
        assert load(tmp_path, size=7, workers=0, streaming=streaming).classes == ("ant", "bee", "cow")


@pytest.mark.parametrize("write", WRITERS)
def test_torn_files(write: Write, tmp_path: Path) -> None:
    write(tmp_path, "train", rows())
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(UserError, match=r"expected (parquet|arrow) files that can be read"):
        load(tmp_path, size=7, workers=0, streaming=True)
