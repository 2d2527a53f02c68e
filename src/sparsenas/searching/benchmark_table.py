"""Tables of architectures with known true accuracies, such as NAS-Bench-Macro."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from sparsenas.errors import UserError
from sparsenas.parsing import parse_json

KEYS = ("mean_acc", "accuracy")
"""Keys of the accuracy in a JSON object; the first one is NAS-Bench-Macro's."""


class _Row(NamedTuple):
    """One row as read, with its place in the file for messages."""

    where: str
    arch: object
    accuracy: object


def load_benchmark_table(path: Path) -> dict[str, float]:
    """Reads architectures as text with their true accuracies from 0 to 1, in the file's order.

    The format is recognised by the content of the file:

    - JSON of NAS-Bench-Macro: ``{"02012100": {"mean_acc": 89.2, ...}, ...}``, or ``accuracy`` in place of ``mean_acc``;
      other keys are ignored;
    - JSON ``{"02012100": 89.2, ...}``;
    - JSON ``[{"arch": "02012100", "accuracy": 89.2}, ...]``, where ``arch`` may also be an object of labels;
    - CSV with a header that has the columns ``arch`` and ``accuracy``, or of these two columns without a header.

    Accuracies are percentages if any is above 1. Raises ``UserError`` for another format, an accuracy out of range, an
    architecture that is given twice, or fewer than two architectures.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: expected a table of architectures and accuracies, got: {error}") from error
    rows = _json_rows(path, text) if text.lstrip().startswith(("{", "[")) else _csv_rows(path, text)
    truth: dict[str, float] = {}
    for row in rows:
        arch = _arch(path, row)
        if arch in truth:
            raise UserError(f"{path}, {row.where}: architecture {arch} is given twice")
        truth[arch] = _accuracy(path, row)
    if len(truth) < 2:
        raise UserError(f"{path}: expected at least two architectures with their accuracies, got {len(truth)}")
    unit = 100 if max(truth.values()) > 1 else 1
    return {arch: accuracy / unit for arch, accuracy in truth.items()}


def _arch(path: Path, row: _Row) -> str:
    if isinstance(row.arch, dict):
        return json.dumps(row.arch)
    if not isinstance(row.arch, str) or not row.arch.strip():
        raise UserError(f"{path}, {row.where}: expected an architecture as text, got {row.arch!r}")
    return row.arch.strip()


def _accuracy(path: Path, row: _Row) -> float:
    try:
        value = math.nan if isinstance(row.accuracy, bool) else float(row.accuracy)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        value = math.nan
    if not 0 <= value <= 100:
        raise UserError(f"{path}, {row.where}: expected an accuracy within 0..1 or 0..100, got {row.accuracy!r}")
    return value


def _json_rows(path: Path, text: str) -> Iterator[_Row]:
    values = parse_json(text, path)
    if isinstance(values, dict):
        for arch, entry in values.items():
            yield _Row(f"entry {arch!r}", arch, _named(path, f"entry {arch!r}", entry))
        return
    for i, entry in enumerate(values, 1):
        if not isinstance(entry, dict) or "arch" not in entry:
            raise UserError(f"{path}, entry {i}: expected an object with arch and accuracy, got {str(entry)[:60]!r}")
        yield _Row(f"entry {i}", entry["arch"], _named(path, f"entry {i}", entry))


def _named(path: Path, where: str, entry: object) -> object:
    if not isinstance(entry, dict):
        return entry
    found = [entry[key] for key in KEYS if key in entry]
    if not found:
        raise UserError(f"{path}, {where}: expected one of {', '.join(KEYS)}, got {', '.join(entry) or 'nothing'}")
    return found[0]


def _csv_rows(path: Path, text: str) -> Iterator[_Row]:
    try:
        lines = [(i, line) for i, line in enumerate(csv.reader(text.splitlines(), strict=True), 1) if line]
    except csv.Error as error:
        raise UserError(f"{path}: expected CSV, got: {error}") from error
    header = [name.strip() for name in lines[0][1]] if lines else []
    named = "arch" in header and "accuracy" in header
    columns = (header.index("arch"), header.index("accuracy")) if named else (0, 1)
    for i, line in lines[1:] if named else lines:
        if len(line) != (len(header) if named else 2):
            wanted = f"{len(header)} columns as in the header" if named else "an architecture and an accuracy"
            raise UserError(
                f"{path}, line {i}: expected {wanted}, got {len(line)}; text with commas needs double quotes"
            )
        yield _Row(f"line {i}", line[columns[0]], line[columns[1]])
