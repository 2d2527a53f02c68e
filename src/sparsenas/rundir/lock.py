"""The lock on a run folder: one job at a time writes to it."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import ClassVar

from msgspec import Struct, to_builtins

from sparsenas.distributed.collectives import rank
from sparsenas.errors import UserError
from sparsenas.parsing import parse_json, read_text, typed
from sparsenas.rundir.folder import Run


class Lock(Struct, frozen=True, kw_only=True):
    """``lock.json``: the process that works in the folder, the first one of its job; removed when it ends."""

    FILE: ClassVar[str] = "lock.json"
    host: str
    """Name of the machine."""
    pid: int
    """Number of the process."""
    started: str | None
    """When the process started, in the system's own units; null where it does not tell."""
    since: str
    """When the work began, for messages."""
    job: str | None = None
    """The id of a job of ``torchrun``, whose restarts may be on another machine."""


@contextmanager
def locked(run: Run) -> Iterator[None]:
    """A context in which no other job may write to a run folder. Raises ``UserError`` while another one works there.

    The lock of a process of this machine that has ended is taken over. Where there is no folder, nothing is locked.
    """
    path = run / Lock.FILE
    ours = run.do(lambda: _take(path) if run.path.is_dir() else None)
    try:
        yield
    finally:
        if ours is not None and rank() == 0 and _holder(path) == ours:
            path.unlink(missing_ok=True)


def _take(path: Path) -> Lock:
    """Writes the lock of this process. Raises ``UserError``."""
    pid, now = os.getpid(), datetime.now().astimezone().isoformat(" ", "seconds")
    ours = Lock(host=platform.node(), pid=pid, started=_state(pid)[1], since=now, job=_job())
    while True:
        try:
            with open(path, "x", encoding="utf-8") as file:
                file.write(json.dumps(to_builtins(ours)))
            return ours
        except FileExistsError:
            _drop_stale(path)
        except OSError as error:
            raise UserError(f"{path}: cannot be written: {error.strerror}") from error


def _drop_stale(path: Path) -> None:
    """Removes the lock of a process that has ended. Raises ``UserError`` where it has not, or nobody can tell."""
    holder = _holder(path)
    if holder is None:
        return
    if _may_run(holder):
        raise UserError(
            f"{path.parent}: process {holder.pid} on {holder.host} works in this run folder since {holder.since}; "
            f"wait for it, or stop it; if it has ended, remove {path}"
        )
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        os.replace(path, aside)
    except FileNotFoundError:  # another process was faster
        return
    if _holder(aside) == holder:
        aside.unlink()
    else:  # the lock of the process that was faster
        os.replace(aside, path)


def _holder(path: Path) -> Lock | None:
    """Who holds the lock; ``None`` where nobody does. Raises ``UserError`` for a damaged file."""
    try:
        return typed(parse_json(read_text(path, path), path), Lock, path)
    except UserError as error:
        if not os.path.lexists(path):
            return None
        raise UserError(f"{error}; if no process works in this run folder, remove {path}") from error


def _may_run(holder: Lock) -> bool:
    """Whether the process of a lock still runs; true where this machine cannot tell."""
    if holder.host != platform.node():
        return holder.job is None or holder.job != _job()
    if sys.platform == "win32":
        return True
    try:
        os.kill(holder.pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # it is another user's
        return True
    state, started = _state(holder.pid)
    return state not in ("Z", "X") and (started is None or holder.started in (None, started))


def _job() -> str | None:
    """The id of this process's job of ``torchrun``; ``None`` where it has none of its own."""
    given = os.environ.get("TORCHELASTIC_RUN_ID", "none")
    return None if given == "none" else given


def _state(pid: int) -> tuple[str | None, str | None]:
    """The state of a process and when it started, by Linux; numbers of ended processes are given to new ones."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None, None
    return fields[0], fields[19]
