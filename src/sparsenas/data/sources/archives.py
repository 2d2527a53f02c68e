"""The files of CIFAR: parquet, and the official python and binary archives."""

from __future__ import annotations

import io
import pickle
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sparsenas.data.decode import UnreadableImage, decode
from sparsenas.errors import UserError, check_extra

SIDE = 32
PIXELS = 3 * SIDE * SIDE
PARTS = ("train", "test")
SAFE = {("_reconstruct", "multiarray"), ("ndarray", "numpy"), ("dtype", "numpy"), ("encode", "_codecs")}
"""The functions and classes that a pickle of arrays needs, with the last part of their module's name."""


class Layout(NamedTuple):
    """Names and columns of one of the two data sets."""

    folder: str
    """First part of the name of folder and archive."""
    train: tuple[str, ...]
    """Files of training images in either archive, without ``.bin``."""
    test: str
    column: str
    """Column of the labels in parquet."""
    key: bytes
    """Key of the labels in the python archive."""
    label_bytes: int
    """Bytes in front of an image in the binary archive; the last one is the label."""


CIFAR10 = Layout("cifar-10", tuple(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "label", b"labels", 1)
CIFAR100 = Layout("cifar-100", ("train",), "test", "fine_label", b"fine_labels", 2)

Arrays = tuple[NDArray[np.uint8], NDArray[np.int64]]
"""Images (count, 3, 32, 32) and labels (count)."""


def read(root: Path, layout: Layout, classes: int) -> dict[str, Arrays]:
    """Training and test images, from any of the files that the folder may have. Raises ``UserError``."""
    parquets = {part: sorted(root.rglob(f"{part}-*.parquet")) for part in PARTS}
    if all(parquets.values()):
        return {part: _join([_parquet(path, layout, classes) for path in paths]) for part, paths in parquets.items()}
    for endings, reader in ((("batches-py", "python"), _pickled), (("batches-bin", "binary"), _binary)):
        if files := _members(root, [f"{layout.folder}-{ending}" for ending in endings]):
            parts = {"train": layout.train, "test": (layout.test,)}
            return {p: _join([reader(files, name, layout, classes) for name in names]) for p, names in parts.items()}
    raise UserError(
        f"--data.root {root}: expected a folder with train-*.parquet and test-*.parquet, {layout.folder}-python.tar.gz "
        f"or {layout.folder}-binary.tar.gz, found none"
    )


def _join(parts: list[Arrays]) -> Arrays:
    return np.concatenate([images for images, _ in parts]), np.concatenate([labels for _, labels in parts])


def _checked(images: NDArray[np.uint8], labels: NDArray[np.int64], classes: int, where: str) -> Arrays:
    wrong = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(wrong):
        got = labels[wrong[0]]
        raise UserError(f"{where}, row {wrong[0] + 1}: expected a label within 0..{classes - 1}, got {got}")
    return images, labels


def _parquet(path: Path, layout: Layout, classes: int) -> Arrays:
    check_extra("images", str(path), "pyarrow")
    from pyarrow import ArrowException, parquet

    try:
        table = parquet.read_table(path, columns=["img", layout.column]).to_pydict()
    except (ArrowException, OSError) as error:
        wanted = f"a parquet file with columns img and {layout.column}"
        raise UserError(f"{path}: expected {wanted}, got: {str(error).splitlines()[0]}") from error
    images = np.empty((len(table["img"]), 3, SIDE, SIDE), np.uint8)
    for row, cell in enumerate(table["img"]):
        try:
            pixels = decode(cell["bytes"])
        except UnreadableImage as error:
            raise UserError(f"{path}, row {row + 1}: expected an image, got {error}") from error
        if pixels.shape != (SIDE, SIDE, 3):
            got = f"{pixels.shape[1]}x{pixels.shape[0]}"
            raise UserError(f"{path}, row {row + 1}: expected {SIDE}x{SIDE} pixels, got {got}")
        images[row] = pixels.transpose(2, 0, 1)
    return _checked(images, np.array(table[layout.column], np.int64), classes, str(path))


def _members(root: Path, names: list[str]) -> dict[str, bytes]:
    """The files of an archive, or of its unpacked folder; empty if neither is there."""
    for folder in (path for name in names for path in (root / name, root) if path.name == name and path.is_dir()):
        return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    for archive in (root / f"{name}.tar.gz" for name in names):
        if archive.is_file():
            try:
                with tarfile.open(archive) as tar:
                    files = {Path(m.name).name: tar.extractfile(m) for m in tar.getmembers() if m.isfile()}
                    return {name: file.read() for name, file in files.items() if file is not None}
            except (tarfile.TarError, OSError, EOFError) as error:
                raise UserError(f"{archive}: expected an archive that can be read, got: {error}") from error
    return {}


def _binary(files: Mapping[str, bytes], name: str, layout: Layout, classes: int) -> Arrays:
    record = layout.label_bytes + PIXELS
    data = np.frombuffer(_need(files, f"{name}.bin"), np.uint8)
    if len(data) == 0 or len(data) % record:
        raise UserError(f"{name}.bin: expected records of {record} bytes, got {len(data)} bytes")
    rows = data.reshape(-1, record)
    images = rows[:, layout.label_bytes :].reshape(-1, 3, SIDE, SIDE)
    return _checked(images, rows[:, layout.label_bytes - 1].astype(np.int64), classes, f"{name}.bin")


def _pickled(files: Mapping[str, bytes], name: str, layout: Layout, classes: int) -> Arrays:
    try:
        content: Any = _ArraysOnly(io.BytesIO(_need(files, name)), encoding="bytes").load()
        images = np.asarray(content[b"data"], np.uint8).reshape(-1, 3, SIDE, SIDE)
        labels = np.asarray(content[layout.key], np.int64)
    except UserError:
        raise
    except Exception as error:  # a damaged pickle may raise any error
        raise UserError(f"{name}: expected images and {layout.key.decode()} as in the archive, got: {error}") from error
    if len(images) != len(labels):
        raise UserError(f"{name}: expected one label per image, got {len(images)} and {len(labels)}")
    return _checked(images, labels, classes, name)


def _need(files: Mapping[str, bytes], name: str) -> bytes:
    if name not in files:
        raise UserError(f"--data.root: expected the file {name} in the archive, found {', '.join(sorted(files))}")
    return files[name]


class _ArraysOnly(pickle.Unpickler):
    """Reads numbers, strings, lists and arrays, and refuses all else that a pickle could call."""

    def find_class(self, module: str, name: str) -> Any:
        if (name, module.rpartition(".")[2]) not in SAFE or module.partition(".")[0] not in ("numpy", "_codecs"):
            raise UserError(f"refused: an archive of images does not need {module}.{name}")
        if name == "_reconstruct":
            module = np.ndarray.__reduce__(np.empty(0))[0].__module__  # its module differs between releases of numpy
        return super().find_class(module, name)
