"""Images in parquet or arrow files, read through Hugging Face datasets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from sparsenas.data.dataset import Data
from sparsenas.data.encoded import OnBad
from sparsenas.data.loader import SIDE, ImageLoader, Size
from sparsenas.data.sources.folder import visible
from sparsenas.data.splits import origins, split_parts
from sparsenas.errors import UserError, check_extra

PARTS = {"train": ("train",), "val": ("validation", "valid", "val"), "test": ("test",)}
KINDS = ("parquet", "arrow")


class Table(Protocol):
    """Rows with named columns."""

    @property
    def features(self) -> Mapping[str, Any]:
        """The type of each column, as Hugging Face datasets describes it."""
        ...

    def __len__(self) -> int: ...

    def column(self, name: str) -> list[Any]:
        """A column of all rows."""
        ...

    def cell(self, row: int, name: str) -> Any:
        """One cell."""
        ...

    def row_groups(self, rows: Tensor) -> Tensor | None:
        """The row group of each row, as in ``data.encoded.Source``."""
        ...


@dataclass(frozen=True)
class CachedTable:
    """Rows that Hugging Face datasets has copied to its cache on disk."""

    rows: Any

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def features(self) -> Mapping[str, Any]:
        """The type of each column."""
        features: Mapping[str, Any] = self.rows.features
        return features

    def column(self, name: str) -> list[Any]:
        """A column of all rows."""
        return list(self.rows[name])

    def cell(self, row: int, name: str) -> Any:
        """One cell."""
        return self.rows[row][name]

    def row_groups(self, rows: Tensor) -> None:
        """None: every row is read alone."""


@dataclass(frozen=True)
class ImageCells:
    """Images that are cells of a table: objects with ``bytes`` or ``path``, or the bytes themselves."""

    table: Table
    column: str
    title: str

    def __len__(self) -> int:
        return len(self.table)

    def name(self, index: int) -> str:
        """The table and the row, counted from 1."""
        return f"{self.title}, row {index + 1}"

    def read(self, index: int) -> bytes:
        """The encoded image in the cell."""
        cell = self.table.cell(index, self.column)
        if isinstance(cell, Mapping):
            cell = cell["bytes"] if cell.get("bytes") is not None else Path(cell["path"]).read_bytes()
        return bytes(cell)

    def row_groups(self, rows: Tensor) -> Tensor | None:
        """The row groups of the table."""
        return self.table.row_groups(rows)


def parquet(
    root: Path,
    seed: int = 0,
    size: Size | None = None,
    image: str = "image",
    label: str = "label",
    val_share: float = 0.1,
    test_share: float = 0.2,
    smallest_crop: float | None = None,
    jitter: float = 0.0,
    memory: float = 4096,
    workers: int = 2,
    on_bad: OnBad = "refuse",
    streaming: bool = False,
) -> Data:
    """Loads images from parquet or arrow files through Hugging Face datasets.

    The name of a file begins with its part: train, validation (or val) or test. Files without such names are split.
    Splits, crops and mirroring are those of imagefolder.

    Args:
        root: folder of the files.
        seed: seed of the validation split.
        size: height,width of the network's input in pixels; one number is a square. Default: 224, or what a
            network of another library wants.
        image: column of the images.
        label: column of the classes: names, or numbers from 0.
        val_share: share of the training images that is the validation split, with equal class shares, between 0 and 1.
        test_share: share of all images that is the test split if no file is, between 0 and 1. The seed does not matter.
        smallest_crop: smallest area of a random crop in training, as a share of the image, above 0 and at most 1.
            Default: 0.25; none for images that have the size, which are used whole.
        jitter: largest change of brightness, contrast and saturation in training, as a share; 0 = none.
        memory: MiB. Decoded images are kept in memory if all fit into it; otherwise each batch is decoded anew.
        workers: processes that decode images; 0 = the main process decodes.
        on_bad: refuse = unreadable images stop the run with their row; skip = they are left out.
        streaming: read the files in place, by row groups, instead of copying them to Hugging Face's cache on disk. The
            images of eight row groups are shuffled together; each worker keeps eight row groups in memory.
    """
    root = Path(root)
    tables = {part: _load(root, files, streaming) for part, files in _files(root).items()}
    classes, labels = _classes(tables, label, root)
    loader = ImageLoader(SIDE if size is None else size, smallest_crop, jitter, memory, workers, on_bad)
    parts = {
        part: loader.encoded(_rows(table, image, f"{root} {part}"), labels[part]) for part, table in tables.items()
    }
    names = {part: f"files {part}-*" for part in tables}
    return loader.data(classes, split_parts(parts, val_share, test_share, seed), origins(names))


def _rows(table: Table, column: str, title: str) -> ImageCells:
    if column not in table.features:
        raise UserError(f"--data.image: expected one of the columns {', '.join(table.features)}, got {column!r}")
    return ImageCells(table, column, title)


def _files(root: Path) -> dict[str, list[Path]]:
    """The files of each part. Raises ``UserError`` when there are none."""
    every = [path for kind in KINDS for path in visible(root) if path.suffix == f".{kind}"]
    if not every:
        raise UserError(f"--data.root {root}: expected a folder with parquet or arrow files, found none")
    found = {part: [p for p in every if p.name.startswith(names)] for part, names in PARTS.items()}
    found = {part: paths for part, paths in found.items() if paths}
    return found if "train" in found else {"train": every}


def _load(root: Path, files: list[Path], streaming: bool) -> Table:
    """The rows of some files, images still encoded. Raises ``UserError``."""
    check_extra("images", "--data parquet")
    try:
        table = _streamed(files) if streaming else _cached(files)
    except Exception as error:  # the readers raise many classes for a damaged file
        reason = str(error.__cause__ or error).splitlines()[0]
        kind = files[0].suffix.removeprefix(".")
        raise UserError(f"--data.root {root}: expected {kind} files that can be read, got: {reason}") from error
    if not len(table):
        raise UserError(f"--data.root {root}: expected images, found tables without rows")
    return table


def _streamed(files: list[Path]) -> Table:
    from sparsenas.data.streaming import StreamedTable

    return StreamedTable(files)


def _cached(files: list[Path]) -> Table:
    from datasets import Image, load_dataset
    from datasets.utils.logging import disable_progress_bar

    disable_progress_bar()
    kind = files[0].suffix.removeprefix(".")
    table = load_dataset(kind, data_files=[str(path) for path in files], split="train")
    for name, feature in table.features.items():
        if isinstance(feature, Image):
            table = table.cast_column(name, Image(decode=False))
    return CachedTable(table)


def _classes(tables: Mapping[str, Table], column: str, root: Path) -> tuple[tuple[str, ...], dict[str, Tensor]]:
    """The names of the classes and the labels of every part. Raises ``UserError`` for a label out of range."""
    first = tables["train"]
    if column not in first.features:
        raise UserError(f"--data.label: expected one of the columns {', '.join(first.features)}, got {column!r}")
    values = {part: table.column(column) for part, table in tables.items()}
    known = sorted(set(values["train"]))
    named = _names(first, column)
    if named is None:
        numbers = all(isinstance(value, int) and value >= 0 for value in known)
        order: list[Any] = list(range(max(known) + 1)) if numbers else known
        named = tuple(map(str, order))
    else:
        order = list(range(len(named)))
    place = {value: i for i, value in enumerate(order)}
    for part, listed in values.items():
        for row, value in enumerate(listed, 1):
            if value not in place:
                raise UserError(f"{root} {part}, row {row}: expected a label of {_short(order)}, got {value!r}")
    return named, {part: torch.tensor([place[value] for value in listed]) for part, listed in values.items()}


def _names(table: Table, column: str) -> tuple[str, ...] | None:
    """The names of the classes, where the files have them beside the numbers."""
    from datasets import ClassLabel

    feature = table.features[column]
    return tuple(feature.names) if isinstance(feature, ClassLabel) else None


def _short(values: list[Any]) -> str:
    return f"{values[0]!r}..{values[-1]!r}"
