"""Tables of images that are larger than memory: parquet and arrow files, read by row groups."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import torch
from datasets import Features
from pyarrow import ipc
from pyarrow.parquet import ParquetFile
from torch import Tensor

from sparsenas.data.encoded import WINDOW


@dataclass(frozen=True)
class Group:
    """A row group: rows of a file that are read at once."""

    path: Path
    number: int
    rows: int

    def read(self, name: str) -> pyarrow.Array | pyarrow.ChunkedArray:
        """A column of the group. The file is opened anew, since processes must not share an open one."""
        if self.path.suffix == ".parquet":
            with ParquetFile(self.path) as file:
                return file.read_row_group(self.number, columns=[name]).column(name)
        return _batches(self.path)[self.number].column(name)


def _batches(path: Path) -> list[pyarrow.RecordBatch]:
    """All of an arrow file, of either format, mapped into memory."""
    source = pyarrow.memory_map(str(path))
    try:
        table = ipc.open_file(source).read_all()
    except pyarrow.ArrowInvalid:
        source.seek(0)
        table = ipc.open_stream(source).read_all()
    return list(table.to_batches())


def _groups(path: Path) -> tuple[list[Group], pyarrow.Schema]:
    if path.suffix == ".parquet":
        with ParquetFile(path) as file:
            sizes = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
            return [Group(path, i, size) for i, size in enumerate(sizes)], file.schema_arrow
    batches = _batches(path)
    return [Group(path, i, len(batch)) for i, batch in enumerate(batches)], batches[0].schema


class StreamedTable:
    """The rows of some files in order. Only the row groups used last are in memory."""

    def __init__(self, files: Sequence[Path]) -> None:
        """Reads the metadata of the files. Raises pyarrow's own errors for a damaged one."""
        found = [_groups(path) for path in files]
        self.groups = [group for groups, _ in found for group in groups]
        self.features = Features.from_arrow_schema(found[0][1])
        self.ends = np.cumsum([group.rows for group in self.groups])
        self._kept: OrderedDict[tuple[int, str], Any] = OrderedDict()

    def __len__(self) -> int:
        return int(self.ends[-1]) if len(self.ends) else 0

    def column(self, name: str) -> list[Any]:
        """A column of all rows. Not for images, which may not fit into memory."""
        return [value for group in self.groups for value in group.read(name).to_pylist()]

    def cell(self, row: int, name: str) -> Any:
        """One cell."""
        number = int(np.searchsorted(self.ends, row, side="right"))
        first = int(self.ends[number]) - self.groups[number].rows
        return self._cells(number, name)[row - first].as_py()

    def row_groups(self, rows: Tensor) -> Tensor:
        """The number of each row's group."""
        return torch.from_numpy(np.searchsorted(self.ends, rows.numpy(), side="right"))

    def _cells(self, number: int, name: str) -> Any:
        """A column of a group."""
        key = number, name
        if key not in self._kept:
            self._kept[key] = self.groups[number].read(name)
            if len(self._kept) > WINDOW:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]
