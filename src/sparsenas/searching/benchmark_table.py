"""Tables of architectures with known true accuracies, such as NAS-Bench-Macro and NAS-Bench-201."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from sparsenas.errors import UserError
from sparsenas.parsing import parse_json

KEYS = ("mean_acc", "accuracy")
"""Keys of the accuracy in a JSON object; the first one is NAS-Bench-Macro's."""
ARCH, ACCURACY = "arch", "accuracy"


class BenchmarkTable(NamedTuple):
    """Architectures as text, and their true accuracies from 0 to 1."""

    archs: tuple[str, ...]
    columns: dict[str, tuple[float, ...]]
    """The accuracies by column, in the order of the architectures; ``accuracy`` where the file names none."""


class _Row(NamedTuple):
    """One row as read, with its place in the file for messages."""

    where: str
    arch: object
    accuracies: dict[str, object]


def load_benchmark_table(path: Path, columns: Sequence[str] = ()) -> BenchmarkTable:
    """Reads architectures with their true accuracies, in the file's order.

    The format is recognised by the content of the file:

    - JSON of NAS-Bench-Macro: ``{"02012100": {"mean_acc": 89.2, ...}, ...}``, or ``accuracy`` in place of ``mean_acc``;
    - JSON ``{"02012100": 89.2, ...}``;
    - JSON ``[{"arch": "02012100", "accuracy": 89.2}, ...]``, where ``arch`` may also be an object of labels;
    - CSV with a header that has ``arch``, and ``accuracy`` or any columns of numbers; or of these two columns without
      a header.

    ``columns`` names other columns of the CSV file, or keys of the JSON objects; without them they are ``accuracy``, or
    where there is none all columns of numbers. The accuracies of a column are percentages if any is above 1. Raises
    ``UserError`` for another format, a column that is not there, an accuracy out of range, an architecture that is
    given twice, or fewer than two architectures.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: expected a table of architectures and accuracies, got: {error}") from error
    is_json = text.lstrip().startswith(("{", "["))
    archs: dict[str, None] = {}
    values: dict[str, list[float]] = {}
    for row in _json_rows(path, text, columns) if is_json else _csv_rows(path, text, columns):
        arch = _arch(path, row)
        if arch in archs:
            raise UserError(f"{path}, {row.where}: architecture {arch} is given twice")
        archs[arch] = None
        for name, given in row.accuracies.items():
            values.setdefault(name, []).append(_accuracy(f"{path}, {row.where}", given))
    if len(archs) < 2:
        raise UserError(f"{path}: expected at least two architectures with their accuracies, got {len(archs)}")
    return BenchmarkTable(tuple(archs), {name: _shares(column) for name, column in values.items()})


def _shares(values: Sequence[float]) -> tuple[float, ...]:
    unit = 100 if max(values) > 1 else 1
    return tuple(value / unit for value in values)


def _arch(path: Path, row: _Row) -> str:
    if isinstance(row.arch, dict):
        return json.dumps(row.arch)
    if not isinstance(row.arch, str) or not row.arch.strip():
        raise UserError(f"{path}, {row.where}: expected an architecture as text, got {row.arch!r}")
    return row.arch.strip()


def _accuracy(where: str, given: object) -> float:
    try:
        value = math.nan if isinstance(given, bool) else float(given)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        value = math.nan
    if not 0 <= value <= 100:
        raise UserError(f"{where}: expected an accuracy within 0..1 or 0..100, got {given!r}")
    return value


def _json_rows(path: Path, text: str, columns: Sequence[str]) -> Iterator[_Row]:
    values = parse_json(text, path)
    if isinstance(values, dict):
        for arch, entry in values.items():
            yield _Row(f"entry {arch!r}", arch, _named(f"{path}, entry {arch!r}", entry, columns))
        return
    for i, entry in enumerate(values, 1):
        if not isinstance(entry, dict) or ARCH not in entry:
            raise UserError(f"{path}, entry {i}: expected an object with arch and accuracy, got {str(entry)[:60]!r}")
        yield _Row(f"entry {i}", entry[ARCH], _named(f"{path}, entry {i}", entry, columns))


def _named(where: str, entry: object, columns: Sequence[str]) -> dict[str, object]:
    """The accuracies of an entry by column."""
    if not isinstance(entry, dict):
        entry = {ACCURACY: entry}
    for name in columns:
        if name not in entry:
            raise UserError(f"{where}: expected {name}, got {', '.join(entry) or 'nothing'}")
    found = [entry[key] for key in KEYS if key in entry]
    if not columns and not found:
        raise UserError(f"{where}: expected one of {', '.join(KEYS)}, got {', '.join(entry) or 'nothing'}")
    return {name: entry[name] for name in columns} or {ACCURACY: found[0]}


def _csv_rows(path: Path, text: str, columns: Sequence[str]) -> Iterator[_Row]:
    try:
        lines = [(i, line) for i, line in enumerate(csv.reader(text.splitlines(), strict=True), 1) if line]
    except csv.Error as error:
        raise UserError(f"{path}: expected CSV, got: {error}") from error
    header = [name.strip() for name in lines[0][1]] if lines else []
    named = ARCH in header and len(lines) > 1
    if lines and not named and (len(header) != 2 or not _is_number(header[1])):
        raise UserError(f"{path}: expected a column {ARCH}, got the columns {', '.join(header)}")
    header, lines = (header, lines[1:]) if named else ([ARCH, ACCURACY], lines)
    shown = [*columns] or ([ACCURACY] if ACCURACY in header else _numbers(header, lines[0][1]))
    missing = [name for name in shown if name not in header]
    if missing or not shown:
        wanted = ", ".join(missing) or "a column of accuracies"
        raise UserError(f"{path}: expected {wanted}, got the columns {', '.join(header)}")
    for i, line in lines:
        if len(line) != len(header):
            wanted = f"{len(header)} columns as in the header" if named else "an architecture and an accuracy"
            raise UserError(
                f"{path}, line {i}: expected {wanted}, got {len(line)}; text with commas needs double quotes"
            )
        yield _Row(f"line {i}", line[header.index(ARCH)], {name: line[header.index(name)] for name in shown})


def _numbers(header: Sequence[str], line: Sequence[str]) -> list[str]:
    """The columns, without that of the architectures, that have a number in this line."""
    pairs = zip(header, line, strict=False)
    return [name for name, value in pairs if name != ARCH and _is_number(value)]


def _is_number(text: str) -> bool:
    return text.strip().replace(".", "", 1).isdigit()
