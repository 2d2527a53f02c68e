"""Data: what is read is what was written, splits share no image, and every augmentation keeps the shape."""

from __future__ import annotations

import base64
import io
import os
import pickle
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow
import pytest
import torch
from PIL import Image
from pyarrow import parquet

from sparsenas.data import Data, cifar10, cifar100
from sparsenas.data.fingerprint import summary
from sparsenas.data.sources.digits import digits
from sparsenas.errors import UserError

COUNT = {"train": 120, "test": 20}


def pictures(part: str) -> tuple[np.ndarray, list[int]]:
    rng = np.random.default_rng(len(part))
    return rng.integers(0, 256, (COUNT[part], 32, 32, 3), dtype=np.uint8), [i % 10 for i in range(COUNT[part])]


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


def write(path: Path, images: list[bytes], labels: list[int]) -> None:
    rows = {"img": [{"bytes": image, "path": None} for image in images], "label": labels}
    parquet.write_table(pyarrow.table(rows), path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for part in COUNT:
        images, labels = pictures(part)
        half = len(labels) // 2
        for i, rows in enumerate((slice(0, half), slice(half, None))):
            write(tmp_path / f"{part}-0000{i}-of-00002.parquet", [png(p) for p in images[rows]], labels[rows])
    return tmp_path


def test_cifar_is_read_as_it_was_written(root: Path) -> None:
    data = cifar10(root, val_share=0.2)
    images, labels = pictures("test")
    assert torch.equal(data.test.inputs, torch.from_numpy(images).permute(0, 3, 1, 2))
    assert data.test.targets.tolist() == labels
    assert (len(data.train), len(data.val), data.shape) == (96, 24, (3, 32, 32))


def test_the_splits_share_no_image_and_have_equal_class_shares(root: Path) -> None:
    data = cifar10(root, seed=3, val_share=0.5)
    parts = [{bytes(image.numpy().tobytes()) for image in split.inputs} for split in (data.train, data.val)]
    assert not parts[0] & parts[1]
    assert len(parts[0] | parts[1]) == COUNT["train"]
    assert torch.bincount(data.val.targets).tolist() == [6] * 10
    other = cifar10(root, seed=4, val_share=0.5)
    assert not torch.equal(data.val.inputs, other.val.inputs)


@pytest.mark.parametrize("size", [None, 16, 24, 40])
def test_inputs_have_the_size_asked_for(root: Path, size: int | None) -> None:
    data = cifar10(root)
    for augment in (False, True):
        x = data.prepared(data.train.inputs[:4], augment, size)
        assert x.shape == (4, 3, size or 32, size or 32)
        assert x.is_contiguous(memory_format=torch.channels_last)


def test_resizing_averages() -> None:
    data = digits()
    stripes = torch.zeros(1, 1, 8, 8, dtype=torch.uint8)
    stripes[..., ::2] = 255
    grey = data.prepared(torch.full_like(stripes, 128), size=4)
    assert torch.allclose(data.prepared(stripes, size=4)[..., 1:-1], grey[..., 1:-1], atol=0.02)
    assert torch.equal(data.prepared(data.train.inputs, size=8), data.prepared(data.train.inputs))


def test_training_images_are_shifted_and_mirrored(root: Path) -> None:
    data: Data = cifar10(root)
    image = data.train.inputs[:1].repeat(64, 1, 1, 1)
    torch.manual_seed(0)
    distinct = {x.numpy().tobytes() for x in data.prepared(image, augment=True)}
    assert len(distinct) > 30, "81 shifts and two sides"
    assert len({x.numpy().tobytes() for x in data.prepared(image)}) == 1


@pytest.mark.parametrize("fill", [0, 127])
def test_shifted_images_are_filled_with_a_grey(fill: int, root: Path) -> None:
    """Images of one colour: what is not of that colour was beyond the edge."""
    data = cifar10(root, fill=fill)
    torch.manual_seed(0)
    x = data.prepared(torch.full((64, 3, 32, 32), 200, dtype=torch.uint8), augment=True)
    pixels = x * x.new_tensor(data.std).view(3, 1, 1) + x.new_tensor(data.mean).view(3, 1, 1)
    assert set((255 * pixels).round().int().unique().tolist()) == {fill, 200}
    with pytest.raises(UserError, match="--data.fill: expected 0 to 255, got 256"):
        cifar10(root, fill=256)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.99, 2.0])
def test_a_held_out_share_leaves_every_class_in_both_parts(root: Path, share: float) -> None:
    with pytest.raises(
        UserError, match=f"--data.val_share: expected images of every class in both parts, got {share:g}"
    ):
        cifar10(root, val_share=share)


def python_archive(folder: Path) -> None:
    """As the official archive has it: pickled dictionaries with bytes as keys."""
    folder.mkdir()
    images, labels = pictures("train")
    rows = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
    for i, part in enumerate(np.array_split(np.arange(len(labels)), 5), 1):
        content = {b"data": rows[part], b"labels": [labels[row] for row in part], b"batch_label": b"some"}
        (folder / f"data_batch_{i}").write_bytes(pickle.dumps(content, protocol=2))
    images, labels = pictures("test")
    content = {b"data": images.transpose(0, 3, 1, 2).reshape(len(images), -1), b"labels": labels}
    (folder / "test_batch").write_bytes(pickle.dumps(content, protocol=2))


def binary_archive(folder: Path) -> None:
    folder.mkdir()
    for part, names in {"train": [f"data_batch_{i}.bin" for i in range(1, 6)], "test": ["test_batch.bin"]}.items():
        images, labels = pictures(part)
        records = np.column_stack([labels, images.transpose(0, 3, 1, 2).reshape(len(images), -1)]).astype(np.uint8)
        for name, rows in zip(names, np.array_split(records, len(names)), strict=True):
            (folder / name).write_bytes(rows.tobytes())


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("write_archive", "folder", "archive"),
    [
        (python_archive, "cifar-10-batches-py", "cifar-10-python"),
        (binary_archive, "cifar-10-batches-bin", "cifar-10-binary"),
    ],
)
def test_the_official_archives(
    write_archive: Callable[[Path], None], folder: str, archive: str, packed: bool, root: Path, tmp_path: Path
) -> None:
    expected, place = cifar10(root), tmp_path / "archives"
    place.mkdir()
    write_archive(place / folder)
    if packed:
        with tarfile.open(place / f"{archive}.tar.gz", "w:gz") as tar:
            tar.add(place / folder, folder)
        shutil.rmtree(place / folder)
    for found in (cifar10(place), cifar10(place if packed else place / folder)):
        for ours, theirs in (
            (found.train, expected.train),
            (found.val, expected.val),
            (found.test, expected.test),
        ):
            assert torch.equal(next(ours.batches(999)).inputs, next(theirs.batches(999)).inputs)
            assert torch.equal(ours.targets, theirs.targets)


class Harmful:
    """Runs a command when it is unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (self.command,)


def test_a_harmful_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    folder, trace = tmp_path / "cifar-10-batches-py", tmp_path / "trace"
    python_archive(folder)
    (folder / "data_batch_3").write_bytes(pickle.dumps({b"data": Harmful(f"touch {trace}")}, protocol=2))
    with pytest.raises(UserError, match="an archive of images does not need posix.system"):
        cifar10(tmp_path)
    assert not trace.exists()


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("data_batch_2", b"torn", "data_batch_2: expected images and labels as in the archive"),
        ("data_batch_2", pickle.dumps({b"data": np.zeros((2, 3072), np.uint8), b"labels": [1]}), "got 2 and 1"),
        ("test_batch", pickle.dumps({b"data": np.zeros((1, 3072), np.uint8), b"labels": [-1]}), "0..9, got -1"),
        ("test_batch", None, "expected the file test_batch in the archive, found data_batch_1, "),
    ],
)
def test_a_damaged_archive_is_named(name: str, content: bytes | None, expected: str, tmp_path: Path) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    python_archive(folder)
    (folder / name).unlink() if content is None else (folder / name).write_bytes(content)
    with pytest.raises(UserError, match=expected):
        cifar10(tmp_path)


def test_cifar100(tmp_path: Path) -> None:
    folder = tmp_path / "cifar-100-binary"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name, count in (("train.bin", 200), ("test.bin", 100)):
        fine = np.arange(count) % 100
        records = np.column_stack([fine // 5, fine, rng.integers(0, 256, (count, 3072))]).astype(np.uint8)
        (folder / name).write_bytes(records.tobytes())
    data = cifar100(tmp_path, val_share=0.5)
    assert data.test.targets.tolist() == list(range(100))
    assert (len(data.classes), data.classes[0], data.classes[99]) == (100, "apple", "worm")
    assert list(data.classes) == sorted(data.classes)


def test_the_summary_counts_and_shows(root: Path) -> None:
    data = cifar10(root, val_share=0.5)
    told = summary(data)
    assert told["parts"] == {"train": [6] * 10, "val": [6] * 10, "test": [2] * 10}
    assert [sample["label"] for sample in told["samples"]] == list(range(10))
    first = data.train.inputs[(data.train.targets == 3).nonzero()[0, 0]]
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(told["samples"][3]["png"]))))
    assert np.array_equal(shown, first.permute(1, 2, 0).numpy())


def test_mistakes_are_named(root: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--data.root .*expected a folder with train-\*.parquet"):
        cifar10(tmp_path / "nowhere")
    (root / "test-00000-of-00002.parquet").write_bytes(b"no parquet")
    with pytest.raises(UserError, match=r"test-00000-of-00002.parquet: expected a parquet file"):
        cifar10(root)
    write(root / "test-00000-of-00002.parquet", [png(np.zeros((32, 32, 3), np.uint8)), b"no png"], [0, 1])
    with pytest.raises(UserError, match=r"test-00000-of-00002.parquet, row 2: expected an image"):
        cifar10(root)
    write(root / "test-00000-of-00002.parquet", [png(np.zeros((8, 8, 3), np.uint8))], [0])
    with pytest.raises(UserError, match=r"row 1: expected 32x32 pixels, got 8x8"):
        cifar10(root)
    write(root / "test-00000-of-00002.parquet", [png(np.zeros((32, 32, 3), np.uint8))], [10])
    with pytest.raises(UserError, match=r"row 1: expected a label within 0..9, got 10"):
        cifar10(root)


def test_too_few_images_for_the_classes_are_refused(root: Path) -> None:
    with pytest.raises(UserError, match="^--data.images: expected images of every class in both parts, got 3$"):
        cifar10(root, images=3)
