"""Writing files so that a crash, a full disk or a link to elsewhere does no harm."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from sparsenas.errors import UserError

NO_LINKS: int = getattr(os, "O_NOFOLLOW", 0)
"""Windows has no such flag."""
BLOCK = 1 << 16
Write = Callable[[IO[bytes]], Any]
"""Writes the content of a file."""


def write_atomic(path: Path, write: Write) -> None:
    """Writes a file so that at any moment either the old file or the new one is there, complete.

    Raises ``UserError`` when the disk is full or the folder cannot be written; the old file is then unchanged.
    """
    write_together({path: write})


def write_together(files: Mapping[Path, Write]) -> None:
    """Writes several files: all of them are complete before the first takes its place, and the last one's is last.

    Raises ``UserError`` when the disk is full or a folder cannot be written; the old files are then unchanged.
    """
    temporary = {path: path.with_name(f".{path.name}.{os.getpid()}.tmp") for path in files}
    path = next(iter(files))
    try:
        for path, write in files.items():
            with open(temporary[path], "wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
        for path, ready in temporary.items():
            os.replace(ready, path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror}; the old file is unchanged") from error
    finally:
        for ready in temporary.values():
            ready.unlink(missing_ok=True)


def append_lines(path: Path, text: str) -> None:
    """Appends whole lines to a file; a last line without its end, which a kill has left, is dropped first.

    Raises ``UserError`` when the file cannot be written, or is a link: the folder may come from somebody else, and its
    links could lead out of it.
    """
    try:
        if path.is_symlink():
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        flags = os.O_RDWR | os.O_CREAT | NO_LINKS
        with open(path, "r+b", opener=lambda path, _: os.open(path, flags, 0o666)) as file:
            file.seek(_end_of_lines(file))
            file.truncate()
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror}") from error


def _end_of_lines(file: IO[bytes]) -> int:
    """The position after the last line end."""
    end = file.seek(0, os.SEEK_END)
    while end > 0:
        start = max(0, end - BLOCK)
        file.seek(start)
        found = file.read(end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0
