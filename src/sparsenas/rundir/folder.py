"""The run folder: plain files that every command reads and writes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

import yaml
from msgspec import Struct, to_builtins

from sparsenas.errors import UserError, first_line
from sparsenas.parsing import parse_json, read_text, typed
from sparsenas.rundir.files import append_lines, write_atomic
from sparsenas.rundir.log import LOG, LogLine
from sparsenas.rundir.tensors import LOAD_ERRORS, load_tensors, save_tensors


class Record(Protocol):
    """An object that is a JSON file of its own."""

    FILE: ClassVar[str]


T = TypeVar("T")
R = TypeVar("R", bound=Record)
Damaged = Callable[[UserError], object]
"""Is given the error of each line that cannot be read."""


class Stateful(Protocol):
    """An object with a state, as modules and optimizers have."""

    def load_state_dict(self, state: Any, /) -> Any:
        """Takes over a state."""
        ...


class Follower(Protocol):
    """What is told of every line of the log."""

    def take(self, line: LogLine) -> None:
        """A line was written."""
        ...

    def rewind(self, lines: Sequence[LogLine], stage: str, epoch: int) -> None:
        """A stage begins at ``epoch``, and the log has these ``lines`` now."""
        ...


class Do(Protocol):
    """How file operations are carried out."""

    def __call__(self, work: Callable[[], T], /) -> T:
        """Runs ``work``; returns its value."""
        ...


def here(work: Callable[[], T]) -> T:
    """Runs ``work`` in this process."""
    return work()


class Run:
    """One run folder.

    Where several processes share it, ``do=broadcast_from_rank0`` makes the first process do all file operations: files
    are written once, and every process has what the first one has read.
    """

    def __init__(self, path: Path | str, do: Do = here) -> None:
        self.path, self.do = Path(path), do
        self.followers: list[Follower] = []
        """Are told of every line of the log."""

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    def has(self, name: str) -> bool:
        """Whether a file exists."""
        return self.do((self.path / name).exists)

    def create(self) -> None:
        """Makes the folder. Raises ``UserError`` when that is impossible."""
        self.do(lambda: _make(self.path))

    def need(self, name: str, command: str) -> Path:
        """The path of a file that must exist. Raises ``UserError`` naming the command that makes it."""
        if not self.has(name):
            raise UserError(
                f"{self.path}: expected a run folder with {name}, found none; `sparsenas {command}` makes it"
            )
        return self.path / name

    def read(self, kind: type[R], command: str = "run") -> R:
        """Reads a record. Raises ``UserError`` when its file is missing or damaged."""
        path = self.need(kind.FILE, command)
        text = self.do(lambda: read_text(path, path))
        return typed(parse_json(text, path), kind, path)

    def find(self, kind: type[R]) -> R | None:
        """Reads a record, ``None`` where there is no file. Raises ``UserError`` when the file is damaged."""
        return self.read(kind) if self.has(kind.FILE) else None

    def write(self, record: Record, indent: int | None = 1) -> None:
        """Writes a record, in one line where ``indent`` is ``None``. Raises ``UserError``."""
        self._write(record.FILE, json.dumps(to_builtins(record), indent=indent, ensure_ascii=False) + "\n")

    def lines(self, name: str, kind: type[T], damaged: Damaged | None = None) -> list[T]:
        """The lines of a JSONL file as records; none where there is no file.

        A last line without its end, which a kill has left, is ignored. Another line that cannot be read raises
        ``UserError``, or is left out where ``damaged`` takes the error.
        """
        return self._lines(name, kind, damaged)

    def log(self, damaged: Damaged | None = None) -> list[LogLine]:
        """The lines of ``log.jsonl``, read as ``lines`` does."""
        return self._lines(LOG, LogLine, damaged)

    def append(self, name: str, records: Iterable[Struct]) -> None:
        """Appends lines to a JSONL file. Raises ``UserError`` when they cannot be written."""
        text = _jsonl(records)
        self.do(lambda: append_lines(self / name, text))

    def write_lines(self, name: str, records: Iterable[Struct]) -> None:
        """Replaces the lines of a JSONL file. Raises ``UserError`` when they cannot be written."""
        self._write(name, _jsonl(records))

    def write_yaml(self, name: str, value: object) -> None:
        """Writes a YAML file. Raises ``UserError`` when it cannot be written."""
        self._write(name, yaml.safe_dump(value, sort_keys=False, allow_unicode=True))

    def save(self, name: str, state: object, keep_as: str | None = None) -> None:
        """Writes tensors and plain values; an earlier file is kept as ``keep_as``. Raises ``UserError``."""
        self.do(lambda: save_tensors(self / name, state, None if keep_as is None else self / keep_as))

    def load(self, name: str) -> Any:
        """Reads what ``save`` wrote, without running code from it. Raises ``UserError`` when the file is damaged."""
        path = self.need(name, "search")
        return self.do(lambda: load_tensors(path))

    def restore(self, name: str, **parts: Stateful) -> None:
        """Loads the state of several parts. Raises ``UserError`` when it is that of others."""
        state = self.load(name)
        for key, part in parts.items():
            try:
                part.load_state_dict(state[key])
            except LOAD_ERRORS as error:
                reason = f"expected the {key} of this run, got another: {first_line(error)}"
                raise UserError(f"{self / name}: {reason}") from error

    def remove(self, name: str) -> None:
        """Removes a file if it exists."""
        self.do(lambda: (self / name).unlink(missing_ok=True))

    def _lines(self, name: str, kind: Any, damaged: Damaged | None) -> list[Any]:
        if not self.has(name):
            return []
        found = []
        texts = self.do(lambda: read_text(self / name, self / name, "replace")).split("\n")
        for number, text in enumerate(texts[:-1], 1):
            where = f"{self / name}, line {number}"
            try:
                found.append(typed(parse_json(text, where), kind, where))
            except UserError as error:
                if damaged is None:
                    raise
                damaged(error)
        return found

    def _write(self, name: str, text: str) -> None:
        self.do(lambda: write_atomic(self / name, lambda file: file.write(text.encode())))


def _make(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--out {path}: expected a folder that can be made, got: {error.strerror}") from error


def _jsonl(records: Iterable[Struct]) -> str:
    return "".join(json.dumps(to_builtins(record), ensure_ascii=False) + "\n" for record in records)
