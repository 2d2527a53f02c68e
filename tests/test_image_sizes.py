"""Images of any height and width from every source, hidden folders, and training at other sizes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
import torch
from PIL import Image
from pyarrow import parquet as files
from tests.real_runs import CPU
from tests.test_cli import fails
from tests.test_pictures import encoded

from sparsenas.__main__ import main
from sparsenas.data import Data, digits, imagefolder, parquet
from sparsenas.data.fingerprint import in_words
from sparsenas.data.image_code import image_code
from sparsenas.data.loader import Size, resized
from sparsenas.data.preprocessing import preparation
from sparsenas.data.sources.cifar import cifar10
from sparsenas.data.transforms import MEAN, STD
from sparsenas.errors import UserError
from sparsenas.job.plugin import Plugin
from sparsenas.job.sizes import tell_of_enlarged
from sparsenas.rundir.folder import Run

Made = Callable[[Path, Size], Data]


def picture(red: int, side: int = 40) -> bytes:
    return encoded(Image.new("RGB", (side, side), (red, 0, 0)))


def folder(root: Path, *classes: str) -> None:
    for number, name in enumerate(classes):
        for i in range(20):
            path = root / name / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(picture(number * 90))


def from_folder(root: Path, size: Size) -> Data:
    folder(root, "a", "b")
    return imagefolder(root, size=size, workers=0)


def read_batch_by_batch(root: Path, size: Size) -> Data:
    folder(root, "a", "b")
    return imagefolder(root, size=size, workers=0, memory=0)


def from_table(root: Path, size: Size) -> Data:
    table = {"image": [picture(i) for i in range(40)], "label": [i % 2 for i in range(40)]}
    files.write_table(pyarrow.table(table), root / "train-0.parquet")
    return parquet(root, size=size, workers=0, streaming=True)


def from_cifar(root: Path, size: Size) -> Data:
    for part in ("train", "test"):
        table = {"img": [{"bytes": picture(i, 32)} for i in range(40)], "label": [i % 10 for i in range(40)]}
        files.write_table(pyarrow.table(table), root / f"{part}-0.parquet")
    return cifar10(root, val_share=0.5, size=size)


def from_digits(root: Path, size: Size) -> Data:
    return digits(size=size)


@pytest.mark.parametrize("make", [from_folder, read_batch_by_batch, from_table, from_cifar, from_digits])
def test_images_have_the_size_asked_for(make: Made, tmp_path: Path) -> None:
    for size, (height, width) in ((12, (12, 12)), ((12, 20), (12, 20)), ((20, 12), (20, 12))):
        data = make(tmp_path, size)
        assert data.example.shape[-2:] == (height, width)
        for augment in (False, True):
            for part in (data.train, data.val, data.test):
                batch = next(part.batches(4)).inputs
                assert data.prepared(batch, augment).shape[-2:] == (height, width)
        smaller = data.prepared(batch, size=6).shape[-2:]
        assert smaller == (round(6 * height / min(height, width)), round(6 * width / min(height, width)))


@pytest.mark.parametrize("size", [0, (0, 8), (8, -1)])
def test_sizes_below_a_pixel_are_refused(size: Size, tmp_path: Path) -> None:
    for make in (from_folder, from_cifar, from_digits):
        with pytest.raises(UserError, match="--data.size: expected >= 1, got"):
            make(tmp_path, size)


def test_resizing_to_the_same_size_changes_nothing_and_a_plain_image_stays_plain() -> None:
    images = torch.arange(2 * 3 * 8 * 8, dtype=torch.uint8).view(2, 3, 8, 8)
    assert resized(images, 8) is images
    plain = torch.full((3, 1, 8, 8), 77, dtype=torch.uint8)
    assert torch.equal(resized(plain, (5, 16)), torch.full((3, 1, 5, 16), 77, dtype=torch.uint8))


def test_a_picture_is_not_distorted(tmp_path: Path) -> None:
    """A wide picture with a black left and a white right half keeps its edge in the middle, and is not turned."""
    pixels = np.zeros((30, 60, 3), np.uint8)
    pixels[:, 30:] = 255
    folder(tmp_path, "a", "b")
    for path in tmp_path.rglob("*.png"):
        Image.fromarray(pixels).save(path)
    image = next(imagefolder(tmp_path, size=(16, 32), workers=0).val.batches(1)).inputs[0, 0]
    assert image.shape == (18, 37)
    assert image[:, :17].max() == 0
    assert image[:, 20:].min() == 255


def test_hidden_folders_are_no_data(tmp_path: Path) -> None:
    root = tmp_path / ".hidden_above" / "data"
    for part in ("train", "val"):
        folder(root / part, "a", "b", ".ipynb_checkpoints", "a/.ipynb_checkpoints")
    data = imagefolder(root, size=8, workers=0)
    assert data.classes == ("a", "b")
    assert [len(part) for part in (data.train, data.val, data.test)] == [36, 4, 40]
    (root / ".cache").mkdir()
    (root / ".cache" / "train-0.parquet").write_bytes(b"")
    with pytest.raises(UserError, match="expected a folder with parquet or arrow files, found none"):
        parquet(root)


def test_a_class_that_training_lacks_is_named(tmp_path: Path) -> None:
    folder(tmp_path / "train", "a", "b")
    folder(tmp_path / "val", "a", "b", "zebra")
    with pytest.raises(UserError, match=r"val/zebra: expected a class of the training images, a, b$"):
        imagefolder(tmp_path, size=8)


def test_flags_of_sizes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = ["--space.width=4", "--space.blocks=1", "--search.batch=256", "--score.val=60"]
    quick = ["search", "--search.epochs=2", "--method=random", "--method.evaluations=2", *small, *CPU]
    for number, (flags, told) in enumerate(
        [
            (["--search.sizes=4"], "--search.sizes: training ends at 4 pixels, networks are scored and tested at 8,"),
            (["--data.size=8,12", "--search.sizes=4"], "training ends at 4 pixels"),
            (["--search.sizes=4,8"], ""),
            (["--data.size=12,8", "--search.sizes=4,8"], ""),
            (["--search.sizes=8,4"], "training ends at 4 pixels"),
        ]
    ):
        capsys.readouterr()
        assert main([*quick, f"--out={tmp_path / str(number)}", *flags]) == 0
        printed = capsys.readouterr().err
        assert printed.count("training ends at") == bool(told)
        assert told in printed
    assert "--data.size: expected an integer or 2 integers separated by commas, got 8,x" in fails(
        capsys, *quick, "--data.size=8,x"
    )
    assert main(["evaluate", str(tmp_path / "1"), "--arch=found"]) == 0
    assert main([*quick, f"--out={tmp_path / '1'}", "--resume", "--data.size=8,12"]) == 0


def test_small_images_that_nobody_wanted_enlarged_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder(tmp_path, "a", "b")

    def told(data: Data, space: str = "tiny", **flags: object) -> str:
        tell_of_enlarged(Run(tmp_path), Plugin(space), Plugin("imagefolder", flags), data)
        return capsys.readouterr().err

    data = imagefolder(tmp_path, workers=0, memory=0)
    assert data.stored == (40, 40)
    assert told(data).startswith("--data.size: images of 40x40 pixels are enlarged to 224x224, so that everything")
    assert told(data).endswith("about 31 times as long; --data.size 40 keeps their size\n")
    assert told(data, size=224) == told(replace(data, crop=(80, 80))) == ""
    assert told(replace(data, stored=None)) == told(digits()) == ""


def test_images_of_the_size_are_used_whole_unless_a_crop_is_given(tmp_path: Path) -> None:
    folder(tmp_path, "a", "b")
    whole = imagefolder(tmp_path, size=40, workers=0)
    stored = np.asarray(Image.open(tmp_path / "a" / "0.png").convert("RGB"))
    inputs = torch.cat([part.inputs for part in whole.train_val.batches(100)])
    assert any(np.array_equal(image.permute(1, 2, 0).numpy(), stored) for image in inputs)
    assert preparation(whole)["resize"] == preparation(whole)["crop"] == [40, 40]
    mean, std = (torch.tensor(of).view(3, 1, 1) for of in (MEAN, STD))
    assert torch.allclose(whole.prepared(inputs), (inputs / 255 - mean) / std)
    assert whole.prepared(inputs, augment=True).shape == inputs.shape
    cropped = imagefolder(tmp_path, size=40, workers=0, smallest_crop=0.25)
    assert preparation(cropped)["resize"] == [46, 46]


def test_the_line_about_the_data_says_where_the_parts_are_from(tmp_path: Path) -> None:
    augmented = "; training examples are augmented by RandomResizedCrop, RandomHorizontalFlip"
    for part, parts in (
        ("train", "28 training, 4 validation (split off), 8 test (split off)"),
        ("val", "36 training, 4 validation (split off), 40 test (folder val)"),
        ("test", "40 training, 40 validation (folder val), 40 test (folder test)"),
    ):
        folder(tmp_path / part, "a", "b")
        data = imagefolder(tmp_path, size=8, workers=0)
        assert in_words(data) == f"2 classes; {parts} examples{augmented}"


@pytest.mark.parametrize("size", [24, 40])
def test_the_code_in_reports_prepares_an_image_as_the_data_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for i in range(5):
            pixels = np.random.default_rng(i).integers(0, 256, (40, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{i}.png")
    data = imagefolder(tmp_path, size=size, workers=0, val_share=0.4)
    found = [data.prepared(part.inputs) for part in data.train_val.join(data.test).batches(100)]
    monkeypatch.chdir(tmp_path)
    Image.open("a/0.png").save("photo.jpg", "png")
    scope: dict[str, Any] = {}
    exec(image_code(preparation(data)), scope)
    distances = (torch.cat(found) - torch.from_numpy(scope["inputs"])).abs().amax((1, 2, 3))
    assert float(distances.min()) < 1e-5
