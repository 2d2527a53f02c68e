"""Picture files of every kind, folders and tables of them, decoded at once or batch by batch."""

from __future__ import annotations

import io
import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow
import pytest
import torch
from PIL import Image
from pyarrow import parquet as files

from sparsenas.data import Data, imagefolder, parquet
from sparsenas.data.dataset import Split
from sparsenas.data.decode import UnreadableImage, decode
from sparsenas.data.encoded import EncodedImages
from sparsenas.errors import UserError

RNG = np.random.default_rng(0)
RED = np.full((20, 30, 3), (250, 10, 20), np.uint8)


def encoded(image: Image.Image, kind: str = "png", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def red_with_alpha() -> bytes:
    image = Image.fromarray(RED).convert("RGBA")
    image.putpixel((0, 0), (0, 0, 0, 0))
    return encoded(image)


ODD: dict[str, tuple[bytes, tuple[int, int, int]]] = {
    "plain": (encoded(Image.fromarray(RED)), (250, 10, 20)),
    "jpeg": (encoded(Image.fromarray(RED), "jpeg", quality=100), (250, 10, 20)),
    "greyscale": (encoded(Image.new("L", (30, 20), 77)), (77, 77, 77)),
    "one bit": (encoded(Image.new("1", (30, 20), 1)), (255, 255, 255)),
    "palette": (encoded(Image.fromarray(RED).convert("P", palette=Image.Palette.ADAPTIVE)), (250, 10, 20)),
    "cmyk": (encoded(Image.new("CMYK", (30, 20), (255, 0, 0, 0)), "jpeg", quality=100), (0, 255, 255)),
    "alpha": (red_with_alpha(), (250, 10, 20)),
    "16 bits": (encoded(Image.fromarray(np.full((20, 30), 257 * 99, np.uint16))), (99, 99, 99)),
    "gif": (encoded(Image.new("RGB", (30, 20), (255, 0, 0)), "gif"), (255, 0, 0)),
    "webp": (encoded(Image.fromarray(RED), "webp", lossless=True), (250, 10, 20)),
}


@pytest.mark.parametrize("kind", ODD)
def test_every_kind_of_file_becomes_rgb(kind: str) -> None:
    file, colour = ODD[kind]
    pixels = decode(file)
    assert pixels.shape == (20, 30, 3)
    assert pixels.dtype == np.uint8
    assert np.abs(pixels[10, 15].astype(int) - colour).max() <= 2
    assert decode(file, (16, 16)).shape == (16, 16, 3)


def test_what_is_transparent_is_white() -> None:
    assert decode(ODD["alpha"][0])[0, 0].tolist() == [255, 255, 255]


def test_the_middle_square_is_shown() -> None:
    picture = np.zeros((20, 40, 3), np.uint8)
    picture[:, 10:30] = 200
    assert (decode(encoded(Image.fromarray(picture)), (20, 20))[:, 1:-1] == 200).all()


def test_a_photograph_taken_sideways_is_turned() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert decode(encoded(Image.fromarray(RED), "jpeg", exif=exif.tobytes())).shape == (30, 20, 3)


@pytest.mark.parametrize(
    "file", [b"", b"hello", ODD["jpeg"][0][:300], ODD["plain"][0][:60], b"\x89PNG\r\n\x1a\n" + bytes(40)]
)
def test_what_is_no_picture_is_refused(file: bytes) -> None:
    with pytest.raises(UnreadableImage):
        decode(file)


def test_a_bomb_is_refused() -> None:
    bomb = encoded(Image.new("1", (20_000, 20_000)))
    assert len(bomb) < 100_000
    with pytest.raises(UnreadableImage, match="more pixels"):
        decode(bomb)


def noise(side: int = 18) -> bytes:
    return encoded(Image.fromarray(RNG.integers(0, 256, (side, side, 3), dtype=np.uint8)))


def fill(folder: Path, classes: tuple[str, ...] = ("ant", "bee"), count: int = 10) -> None:
    for name in classes:
        (folder / name).mkdir(parents=True)
        for i in range(count):
            (folder / name / f"{i}.png").write_bytes(noise())


def sizes(data: Data) -> tuple[int, int, int]:
    return len(data.train), len(data.val), len(data.test)


def pixels(batch: Split) -> set[bytes]:
    return {image.numpy().tobytes() for image in batch.inputs}


def load(root: Path, **flags: object) -> Data:
    return imagefolder(root, size=14, workers=0, **flags)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        ((".",), (14, 2, 4)),
        (("train",), (14, 2, 4)),
        (("train", "val"), (18, 2, 20)),
        (("train", "test"), (18, 2, 20)),
        (("train", "val", "test"), (20, 20, 20)),
    ],
)
def test_the_parts_of_a_folder(folders: tuple[str, ...], expected: tuple[int, ...], tmp_path: Path) -> None:
    for name in folders:
        fill(tmp_path / name)
    data = load(tmp_path)
    assert sizes(data) == expected
    assert (data.classes, data.shape, data.train.example.shape) == (("ant", "bee"), (3, 14, 14), (1, 3, 16, 16))
    parts = [pixels(next(part.batches(100))) for part in (data.train, data.val, data.test)]
    assert len(set.union(*parts)) == sum(expected), "no picture is in two parts"
    assert torch.bincount(data.val.targets).min() == torch.bincount(data.val.targets).max()
    assert pixels(next(load(tmp_path, seed=7).test.batches(100))) == parts[2], "the seed leaves the test pictures alone"


def test_pictures_without_class_folders_need_a_list(tmp_path: Path) -> None:
    fill(tmp_path / "train")
    (tmp_path / "val").mkdir()
    for i in range(4):
        (tmp_path / "val" / f"v{i}.JPEG").write_bytes(noise())
    with pytest.raises(UserError, match="expected class folders, or one of LOC_val_solution.csv"):
        load(tmp_path)
    rows = "".join(f"v{i},{'ant' if i % 2 else 'bee'} 1 2 3 4\n" for i in range(4))
    (tmp_path / "LOC_val_solution.csv").write_text("ImageId,PredictionString\n" + rows)
    data = load(tmp_path)
    assert data.test.targets.tolist() == [1, 0, 1, 0]
    (tmp_path / "LOC_val_solution.csv").write_text("v0,cat 1 2\n")
    with pytest.raises(UserError, match="expected a class of .* for v0, got 'cat'"):
        load(tmp_path)


def test_decoding_for_each_batch_gives_the_same(tmp_path: Path) -> None:
    fill(tmp_path)
    kept, decoded = load(tmp_path), imagefolder(tmp_path, size=14, memory=0, workers=1)
    assert isinstance(kept.train, Split)
    assert isinstance(decoded.train, EncodedImages)
    for ours, theirs in ((kept.train, decoded.train), (kept.train_val, decoded.train_val)):
        for size in (4, 5):
            for a, b in zip(ours.shuffled(size, 3), theirs.shuffled(size, 3), strict=True):
                assert torch.equal(a.inputs, b.inputs)
                assert torch.equal(a.targets, b.targets)
        assert torch.equal(ours.targets, theirs.targets)
    x = decoded.prepared(next(decoded.test.batches(4)).inputs)
    assert x.shape == (4, 3, 14, 14)
    augmented = decoded.prepared(next(decoded.test.batches(4)).inputs, augment=True)
    assert augmented.shape == (4, 3, 14, 14)


@pytest.mark.parametrize("folders", [(".",), ("train", "val", "test")])
@pytest.mark.parametrize("memory", [0.0, 0.008, 100.0])
def test_all_but_the_test_pictures_can_be_joined(memory: float, folders: tuple[str, ...], tmp_path: Path) -> None:
    """Whether they are in memory or not, and also where held-out pictures have a folder of their own."""
    for name in folders:
        fill(tmp_path / name)
    data = load(tmp_path, memory=memory)
    joined = [pixels(batch) for batch in data.train_val.batches(100)]
    parts = [pixels(batch) for part in (data.train, data.val) for batch in part.batches(100)]
    assert set.union(*joined) == set.union(*parts)
    assert data.train_val.targets.tolist() == [*data.train.targets.tolist(), *data.val.targets.tolist()]


@pytest.mark.parametrize("memory", [0.0, 100.0])
def test_damaged_files_are_refused_or_skipped(
    memory: float, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(tmp_path)
    for i in range(7):
        (tmp_path / "bee" / f"bad{i}.jpg").write_bytes(ODD["jpeg"][0][:300])

    def everything(on_bad: str) -> list[Split]:
        data = load(tmp_path, memory=memory, on_bad=on_bad)
        return [batch for part in (data.train, data.val, data.test) for batch in part.batches(100)]

    with pytest.raises(UserError, match=r"bad\d.jpg.*--data.on_bad skip") as caught:
        everything("refuse")
    assert "\n" not in str(caught.value)
    batches = everything("skip")
    assert sum(len(batch) for batch in batches) == 20
    assert all(len(batch.inputs) == len(batch.targets) for batch in batches)
    assert "bad" in capsys.readouterr().err


def test_an_empty_class_is_refused_or_skipped(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "cow").mkdir()
    with pytest.raises(UserError, match="cow: expected images"):
        load(tmp_path)
    assert load(tmp_path, on_bad="skip").classes == ("ant", "bee")


def test_a_part_without_a_class_is_refused_or_taken_as_it_is(tmp_path: Path) -> None:
    for part in ("train", "test"):
        fill(tmp_path / part)
    for path in (tmp_path / "test" / "bee").iterdir():
        path.unlink()
    with pytest.raises(UserError, match=r"test: expected images of every class .* none of bee; --data.on_bad skip"):
        load(tmp_path)
    assert set(load(tmp_path, on_bad="skip").test.targets.tolist()) == {0}


def test_folders_of_parts_have_several_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for part in ("Training", "valid", "TEST"):
        fill(tmp_path / part)
    (tmp_path / "drafts").mkdir()
    data = load(tmp_path)
    assert (data.classes, data.origins) == (("ant", "bee"), ("folder valid", "folder TEST"))
    assert f"{tmp_path}: not used: drafts; the folders of images are named train" in capsys.readouterr().err
    fill(tmp_path / "train")
    with pytest.raises(UserError, match="expected one folder of train images, got Training and train"):
        load(tmp_path)


def test_parts_without_training_images_are_refused(tmp_path: Path) -> None:
    for part in ("val", "test"):
        fill(tmp_path / part)
    with pytest.raises(UserError, match="expected a folder train, got test, val"):
        load(tmp_path)


def test_a_folder_too_far_up_is_noticed(tmp_path: Path) -> None:
    fill(tmp_path / "photos")
    with pytest.raises(UserError, match=r"got 1, photos, and 0 files; did you mean .*/photos\?"):
        load(tmp_path)


def test_workers_leave_sigterm_to_the_main_process(tmp_path: Path) -> None:
    fill(tmp_path)
    batches = imagefolder(tmp_path, size=14, memory=0, workers=1).train.batches(2)
    first = next(batches)
    for worker in multiprocessing.active_children():
        assert worker.pid is not None
        os.kill(worker.pid, signal.SIGTERM)
    assert len(first) + sum(map(len, batches)) > 4


def test_folders_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere: expected a folder, found none"):
        load(tmp_path / "nowhere")
    fill(tmp_path, ("ant",))
    with pytest.raises(UserError, match="none; did you mean .*/ant[?]$"):
        load(tmp_path / "ants")
    with pytest.raises(UserError, match=r"two classes, got 1, ant, and 0 files; each class is a folder"):
        load(tmp_path)


Write = Callable[[str, list[object], list[object]], None]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def put(name: str, images: list[object], labels: list[object]) -> None:
        files.write_table(pyarrow.table({"image": images, "label": labels}), tmp_path / name)

    return put


def cells(count: int) -> list[object]:
    return [{"bytes": noise(), "path": f"{i}.png"} for i in range(count)]


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("labels", [[0, 1], ["ant", "bee"]])
def test_tables(streaming: bool, labels: list[object], tmp_path: Path, write: Write) -> None:
    write("train-0.parquet", cells(10), labels * 5)
    write("train-1.parquet", cells(10), labels * 5)
    write("test-0.parquet", cells(4), labels * 2)
    data = parquet(tmp_path, size=14, workers=0, streaming=streaming)
    assert sizes(data) == (18, 2, 4)
    assert data.test.targets.tolist() == [0, 1, 0, 1]
    assert data.classes == tuple(map(str, labels))


def test_mistakes_in_tables(tmp_path: Path, write: Write) -> None:
    with pytest.raises(UserError, match="expected a folder with parquet or arrow files, found none"):
        parquet(tmp_path)
    broken = [b"no picture"] * 6  # training, validation and test images among them
    write("data.parquet", [*broken, *(cell["bytes"] for cell in cells(14))], [0, 1] * 10)  # type: ignore[index]
    with pytest.raises(UserError, match=r"6 of 20 images are unreadable: .* train, row \d \(not an image file"):
        parquet(tmp_path, size=14, workers=0)
    with pytest.raises(UserError, match="--data.image: expected one of the columns image, label, got 'photo'"):
        parquet(tmp_path, size=14, workers=0, image="photo")
    with pytest.raises(UserError, match="--data.label: expected one of the columns image, label, got 'class'"):
        parquet(tmp_path, size=14, workers=0, label="class")
    write("train.parquet", cells(20), [0, 1] * 10)
    write("test.parquet", cells(2), [0, 7])
    with pytest.raises(UserError, match=r"test, row 2: expected a label of 0..1, got 7"):
        parquet(tmp_path, size=14, workers=0)
    (tmp_path / "train.parquet").write_bytes(b"torn")
    with pytest.raises(UserError, match="expected parquet files that can be read"):
        parquet(tmp_path, size=14, workers=0)


@pytest.mark.parametrize(
    ("flag", "value", "expected"),
    [
        *[("size", 0, ">= 1"), ("workers", -1, ">= 0"), ("jitter", -0.5, ">= 0"), ("memory", -1.0, ">= 0")],
        ("smallest_crop", 0.0, "0 < smallest_crop <= 1"),
    ],
)
def test_a_bad_flag_is_named_alone(flag: str, value: float, expected: str, tmp_path: Path) -> None:
    fill(tmp_path)
    with pytest.raises(UserError, match=f"^--data.{flag}: expected {expected}, got {value}$"):
        imagefolder(tmp_path, **{flag: value})  # type: ignore[arg-type]


def test_crops_are_as_small_as_the_flag_says(tmp_path: Path) -> None:
    """A ramp from black to white: the range of greys of a crop is its width."""
    fill(tmp_path)
    ramp = torch.linspace(0, 1, 64).expand(256, 3, 64, 64)
    widths = []
    for smallest in (1.0, 0.25, 0.04):
        torch.manual_seed(0)
        augment = load(tmp_path, smallest_crop=smallest).augment
        assert augment is not None
        crops = augment(ramp)
        widths.append(float((crops.amax((1, 2, 3)) - crops.amin((1, 2, 3))).min()))
    assert widths[0] > 0.8 > 0.6 > widths[1] > 0.4 > 0.3 > widths[2]


@pytest.mark.parametrize("flag", ["val_share", "test_share"])
def test_a_bad_share_is_named(flag: str, tmp_path: Path) -> None:
    fill(tmp_path)
    with pytest.raises(UserError, match=f"^--data.{flag}: expected images of every class in both parts, got 0.001$"):
        load(tmp_path, **{flag: 0.001})
