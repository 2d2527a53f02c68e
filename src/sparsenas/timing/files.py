"""Latency tables as files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from sparsenas.costs.latency import LatencyTable, Settings
from sparsenas.errors import UserError
from sparsenas.parsing import parse_json, read_text
from sparsenas.rundir.files import write_atomic
from sparsenas.rundir.folder import Run
from sparsenas.timing.engines import ACCELERATORS, ENGINES, Engine, device_name


def read_table(path: Path | str) -> LatencyTable:
    """Reads a table. Raises ``UserError`` when there is none or the file is damaged."""
    try:
        values = parse_json(read_text(Path(path), path), path)
    except UserError as error:
        raise UserError(f"{path}: expected a table written by `sparsenas latency`, got: {error}") from error
    table = LatencyTable.from_json(values, str(path))
    known = {"engine": (*ENGINES,), "accelerator": ACCELERATORS}
    for name, legal in known.items():
        if (found := vars(table.settings)[name]) not in legal:
            raise UserError(f"{path}: expected {name} {' or '.join(legal)}, got {found!r}")
    return table


def write_table(path: Path | str, table: LatencyTable) -> None:
    """Writes a table atomically, one entry per line."""
    content = json.dumps(table.to_json(), ensure_ascii=False).replace('{"op"', '\n{"op"') + "\n"
    write_atomic(Path(path), lambda file: file.write(content.encode()))


def open_table(path: Path, settings: Settings, engine: Engine) -> LatencyTable:
    """The table in the file, or an empty one.

    Raises ``UserError`` when the table is of another device, other settings or other versions.
    """
    fresh = LatencyTable(device_name(settings.accelerator), settings, engine.versions(), source=str(path))
    if not path.exists():
        Run(path.parent).create()
        return fresh
    table = read_table(path)
    for name, old, new in _differences(table, fresh):
        raise UserError(f"--out {path}: this table was measured with {name} {old}, not {new}; choose another --out")
    return table


def _differences(old: LatencyTable, new: LatencyTable) -> Iterator[tuple[str, object, object]]:
    """Device, settings and versions in which two tables differ."""
    pairs: list[tuple[str, object, object]] = [("device", old.device, new.device)]
    pairs += [(name, value, vars(new.settings)[name]) for name, value in vars(old.settings).items()]
    pairs += [(name, old.versions.get(name), new.versions.get(name)) for name in {**old.versions, **new.versions}]
    return (pair for pair in pairs if pair[1] != pair[2])
