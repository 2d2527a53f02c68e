"""Pictures in parquet or arrow files, read through Hugging Face datasets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from sparsenas.data.dataset import Data
from sparsenas.data.loader import OnBad
from sparsenas.data.transforms import Shown, arranged
from sparsenas.errors import UserError

PARTS = {"train": ("train",), "val": ("validation", "valid", "val"), "test": ("test",)}
KINDS = ("parquet", "arrow")


class Table(Protocol):
    """Rows with named columns."""

    @property
    def features(self) -> Mapping[str, Any]:
        """What each column has, as Hugging Face describes it."""
        ...

    def __len__(self) -> int: ...

    def column(self, name: str) -> list[Any]:
        """A column of all rows."""
        ...

    def cell(self, row: int, name: str) -> Any:
        """One cell."""
        ...

    def row_groups(self, rows: Tensor) -> Tensor | None:
        """As a source of pictures has them."""
        ...


@dataclass(frozen=True)
class CachedTable:
    """The rows of files that Hugging Face datasets has copied to its cache on disk, where each is found at once."""

    rows: Any

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def features(self) -> Mapping[str, Any]:
        """What each column has."""
        features: Mapping[str, Any] = self.rows.features
        return features

    def column(self, name: str) -> list[Any]:
        """A column of all rows."""
        return list(self.rows[name])

    def cell(self, row: int, name: str) -> Any:
        """One cell."""
        return self.rows[row][name]

    def row_groups(self, rows: Tensor) -> None:
        """Every row is read alone."""


@dataclass(frozen=True)
class PictureCells:
    """Pictures that are cells of a table: objects with ``bytes`` or ``path``, or the bytes themselves."""

    table: Table
    column: str
    title: str

    def __len__(self) -> int:
        return len(self.table)

    def name(self, index: int) -> str:
        """The table and the row, counted from 1."""
        return f"{self.title}, row {index + 1}"

    def read(self, index: int) -> bytes:
        """The file in the cell."""
        cell = self.table.cell(index, self.column)
        if isinstance(cell, Mapping):
            cell = cell["bytes"] if cell.get("bytes") is not None else Path(cell["path"]).read_bytes()
        return bytes(cell)

    def row_groups(self, rows: Tensor) -> Tensor | None:
        """The table's."""
        return self.table.row_groups(rows)


def parquet(
    root: Path,
    seed: int = 0,
    size: int = 224,
    image: str = "image",
    label: str = "label",
    val_share: float = 0.1,
    test: float = 0.2,
    jitter: float = 0.0,
    memory: float = 4096,
    workers: int = 2,
    on_bad: OnBad = "refuse",
    streaming: bool = False,
) -> Data:
    """Loads pictures from parquet or arrow files through Hugging Face datasets.

    The files of a part begin with its name, train, validation (or val) and test; files without such names are split.
    Which part serves for what, and how pictures are shown, is as with imagefolder.

    Args:
        root: the folder with the files.
        seed: decides the held-out split.
        size: side of what the network sees.
        image: the column of the pictures.
        label: the column of the classes: names, or numbers from 0.
        val_share: share of the training pictures that is held out, with equal class shares.
        test: share of all pictures that is for testing, always the same, where there are no files for that.
        jitter: how much brightness, contrast and saturation vary in training; 0 = not at all.
        memory: MiB of decoded pictures up to which all are kept in memory; more are decoded for each batch.
        workers: processes that decode.
        on_bad: what to do with damaged pictures: refuse them, or skip them and say so.
        streaming: read the files where they are, a few groups of rows at a time, rather than copy them to Hugging
            Face's cache on disk. The pictures of eight groups are shuffled together, and in the memory of each worker.
    """
    root = Path(root)
    tables = {part: _load(root, files, streaming) for part, files in _files(root).items()}
    classes, labels = _classes(tables, label, root)
    show = Shown(size, jitter, memory, workers, on_bad)
    parts = {part: show.pictures(_rows(table, image, f"{root} {part}"), labels[part]) for part, table in tables.items()}
    return show.data(classes, arranged(parts, val_share, test, seed))


def _rows(table: Table, column: str, title: str) -> PictureCells:
    if column not in table.features:
        raise UserError(f"--data.image: expected one of the columns {', '.join(table.features)}, got {column!r}")
    return PictureCells(table, column, title)


def _files(root: Path) -> dict[str, list[Path]]:
    """The files of each part. Raises ``UserError`` when there are none."""
    every = sorted(path for kind in KINDS for path in root.rglob(f"*.{kind}"))
    if not every:
        raise UserError(f"--data.root {root}: expected a folder with parquet or arrow files, found none")
    found = {part: [p for p in every if p.name.startswith(names)] for part, names in PARTS.items()}
    found = {part: paths for part, paths in found.items() if paths}
    return found if "train" in found else {"train": every}


def _load(root: Path, files: list[Path], streaming: bool) -> Table:
    """The rows of some files, pictures still encoded. Raises ``UserError``."""
    try:
        import datasets  # noqa: F401
    except ModuleNotFoundError as error:
        raise UserError("--data parquet: needs more packages: pip install 'sparsenas[images]'") from error
    try:
        table = _streamed(files) if streaming else _cached(files)
    except Exception as error:  # whatever the readers below raise for a damaged file
        reason = str(error.__cause__ or error).splitlines()[0]
        kind = files[0].suffix.removeprefix(".")
        raise UserError(f"--data.root {root}: expected {kind} files that can be read, got: {reason}") from error
    if not len(table):
        raise UserError(f"--data.root {root}: expected pictures, found tables without rows")
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
    """The names that the files themselves give to the numbers of the classes."""
    from datasets import ClassLabel

    feature = table.features[column]
    return tuple(feature.names) if isinstance(feature, ClassLabel) else None


def _short(values: list[Any]) -> str:
    return f"{values[0]!r}..{values[-1]!r}"
