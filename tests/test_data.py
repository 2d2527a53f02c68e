"""Data: what is read is what was written, splits share no image, and every augmentation keeps the shape."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow
import pytest
import torch
from PIL import Image
from pyarrow import parquet

from sparsenas.data import Data, cifar10, digits
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
    data = cifar10(root, held_out=0.2)
    images, labels = pictures("test")
    assert torch.equal(data.test.images, torch.from_numpy(images).permute(0, 3, 1, 2))
    assert data.test.labels.tolist() == labels
    assert (len(data.train), len(data.held_out), data.shape) == (96, 24, (3, 32, 32))


def test_the_splits_share_no_image_and_have_equal_class_shares(root: Path) -> None:
    data = cifar10(root, seed=3, held_out=0.5)
    parts = [{bytes(image.numpy().tobytes()) for image in split.images} for split in (data.train, data.held_out)]
    assert not parts[0] & parts[1]
    assert len(parts[0] | parts[1]) == COUNT["train"]
    assert torch.bincount(data.held_out.labels).tolist() == [6] * 10
    other = cifar10(root, seed=4, held_out=0.5)
    assert not torch.equal(data.held_out.images, other.held_out.images)


@pytest.mark.parametrize("size", [None, 16, 24, 40])
def test_inputs_have_the_size_asked_for(root: Path, size: int | None) -> None:
    data = cifar10(root)
    for augment in (False, True):
        x = data.inputs(data.train.images[:4], augment, size)
        assert x.shape == (4, 3, size or 32, size or 32)
        assert x.is_contiguous(memory_format=torch.channels_last)


def test_resizing_averages() -> None:
    data = digits()
    stripes = torch.zeros(1, 1, 8, 8, dtype=torch.uint8)
    stripes[..., ::2] = 255
    grey = data.inputs(torch.full_like(stripes, 128), size=4)
    assert torch.allclose(data.inputs(stripes, size=4)[..., 1:-1], grey[..., 1:-1], atol=0.02)
    assert torch.equal(data.inputs(data.train.images, size=8), data.inputs(data.train.images))


def test_training_images_are_shifted_and_mirrored(root: Path) -> None:
    data: Data = cifar10(root)
    image = data.train.images[:1].repeat(64, 1, 1, 1)
    torch.manual_seed(0)
    distinct = {x.numpy().tobytes() for x in data.inputs(image, augment=True)}
    assert len(distinct) > 30, "81 shifts and two sides"
    assert len({x.numpy().tobytes() for x in data.inputs(image)}) == 1


@pytest.mark.parametrize("share", [0.0, 0.01, 0.99, 2.0])
def test_a_held_out_share_leaves_every_class_in_both_parts(root: Path, share: float) -> None:
    with pytest.raises(UserError, match="--data.held_out: expected a share"):
        cifar10(root, held_out=share)


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
