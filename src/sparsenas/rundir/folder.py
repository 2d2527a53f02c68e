"""The run folder: plain files that every command reads and writes."""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import IO, Any, Protocol, TypeVar

import torch
import yaml

from sparsenas.errors import UserError, first_line
from sparsenas.parsing import parse_json, read_text
from sparsenas.rundir.schema import FORMATS

Record = Mapping[str, Any]
T = TypeVar("T")
LOAD_ERRORS = (KeyError, TypeError, ValueError, IndexError, AttributeError, RuntimeError)
"""What parts raise when they are given the state of something else."""


class Stateful(Protocol):
    """Something that has a state, as modules and optimizers have."""

    def load_state_dict(self, state: Any, /) -> Any:
        """Takes over a state."""
        ...


def write_atomic(path: Path, write: Callable[[IO[bytes]], Any]) -> None:
    """Writes a file so that at any moment either the old or the new one is there, whole.

    Raises ``UserError`` when the disk is full or the folder cannot be written; the old file is then untouched.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror}; what was there before is untouched") from error
    finally:
        temporary.unlink(missing_ok=True)


class Do(Protocol):
    """How work on files is done."""

    def __call__(self, work: Callable[[], T], /) -> T:
        """Has the work done; returns its value."""
        ...


def here(work: Callable[[], T]) -> T:
    """By this process."""
    return work()


class Run:
    """One run folder.

    Of several processes that all do the same with it, the first works for all with ``do=processes.same``: files are
    written once, and what one has read, all have, whatever another is about to write.
    """

    def __init__(self, path: Path | str, do: Do = here) -> None:
        self.path, self.do = Path(path), do

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    def has(self, name: str) -> bool:
        """Whether a file is there."""
        return self.do((self.path / name).exists)

    def create(self) -> None:
        """Makes the folder. Raises ``UserError`` when that is impossible."""
        self.do(lambda: _make(self.path))

    def need(self, name: str, command: str) -> Path:
        """The path of a file that must be there. Raises ``UserError`` naming the command that makes it."""
        if not self.has(name):
            raise UserError(
                f"{self.path}: expected a run folder with {name}, found none; `sparsenas {command}` makes it"
            )
        return self.path / name

    def write_json(self, name: str, value: object, indent: int | None = 1) -> None:
        """Writes one JSON file, in one line where ``indent`` is ``None``."""
        self._write(name, json.dumps(value, indent=indent, ensure_ascii=False) + "\n")

    def read_json(self, name: str, command: str = "run") -> Any:
        """Reads one JSON file, an object. Raises ``UserError`` when it is missing, malformed or of another form."""
        path = self.need(name, command)
        text = self.do(lambda: read_text(path, path))
        return parse_json(text, path, FORMATS.get(name, dict))

    def write_yaml(self, name: str, value: object) -> None:
        """Writes one YAML file."""
        self._write(name, yaml.safe_dump(value, sort_keys=False, allow_unicode=True))

    def append(self, name: str, records: Iterable[Record]) -> None:
        """Appends lines to a JSONL file. Raises ``UserError`` when they cannot be written."""
        text = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
        self.do(lambda: _append(self / name, text))

    def records(self, name: str) -> list[dict[str, Any]]:
        """The lines of a JSONL file; a last line torn by a kill is ignored. Raises ``UserError`` on other damage."""
        if not self.has(name):
            return []
        lines = self.do(lambda: (self / name).read_text(errors="replace")).split("\n")
        shape = FORMATS.get(name, dict)
        return [parse_json(line, f"{self / name}, line {i}", shape) for i, line in enumerate(lines[:-1], 1)]

    def keep_lines(self, name: str, wanted: Callable[[dict[str, Any]], bool]) -> None:
        """Drops lines of a JSONL file, a torn last one included."""
        if self.has(name):
            self._write(
                name, "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in self.records(name) if wanted(r))
            )

    def save(self, name: str, state: object, keep_as: str | None = None) -> None:
        """Writes tensors and plain values with ``torch.save``; what was there before is kept under another name."""
        self.do(lambda: _save(self / name, state, None if keep_as is None else self / keep_as))

    def load(self, name: str) -> Any:
        """Reads what ``save`` wrote, never executing code from it. Raises ``UserError`` when the file is damaged."""
        path = self.need(name, "search")
        return self.do(lambda: _load(path))

    def restore(self, name: str, **parts: Stateful) -> None:
        """Loads the state that ``save`` wrote of several parts. Raises ``UserError`` when it is that of others."""
        state = self.load(name)
        for key, part in parts.items():
            try:
                part.load_state_dict(state[key])
            except LOAD_ERRORS as error:
                reason = f"expected the {key} of this run, got another: {first_line(error)}"
                raise UserError(f"{self / name}: {reason}") from error

    def remove(self, name: str) -> None:
        """Removes a file if it is there."""
        self.do(lambda: (self / name).unlink(missing_ok=True))

    def _write(self, name: str, text: str) -> None:
        self.do(lambda: write_atomic(self / name, lambda file: file.write(text.encode())))


def _make(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--out {path}: expected a folder that can be made, got: {error.strerror}") from error


def _append(path: Path, text: str) -> None:
    try:
        # A link is not followed: the folder may come from elsewhere, and what is written stays in it.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
        with open(path, "ab", opener=lambda path, _: os.open(path, flags, 0o666)) as file:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror}") from error


def _save(path: Path, state: object, keep_as: Path | None) -> None:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    if keep_as is not None and path.exists():
        os.replace(path, keep_as)
    write_atomic(path, lambda file: file.write(buffer.getbuffer()))


def _load(path: Path) -> Any:
    """Checksums are compared first, which ``torch.load`` alone does not do."""
    try:
        with zipfile.ZipFile(path) as archive:
            if (bad := archive.testzip()) is not None:
                raise zipfile.BadZipFile(f"the checksum of {bad} is wrong")
        return torch.load(path, map_location="cpu", weights_only=True)
    except (
        OSError,
        RuntimeError,
        pickle.UnpicklingError,
        zipfile.BadZipFile,
        EOFError,
        ValueError,
        KeyError,
    ) as error:
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise UserError(f"{path}: expected tensors saved by sparsenas, got a damaged file: {reason}") from error
