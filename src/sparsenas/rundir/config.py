"""The beginning of a run folder: ``run.json`` says which program made it, ``config.yaml`` has the flags."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any, ClassVar

from msgspec import Struct

from sparsenas.errors import UserError
from sparsenas.parsing import parse_yaml, read_text, typed
from sparsenas.rundir.folder import Run
from sparsenas.rundir.records import RunInfo

CONFIG = "config.yaml"
FORMAT = 3
"""Version of the files of a run folder; it grows with every change after which files of another version are misread."""
PACKAGES = ("sparsenas", "torch", "numpy", "lightning-fabric", "kornia", "scikit-learn")


class _Format(Struct):
    """The field of ``run.json`` that files of every version have."""

    FILE: ClassVar[str] = RunInfo.FILE
    format: int


def begin_run(run: Run, command: str, flags: Mapping[str, Any], **facts: Any) -> None:
    """Writes ``run.json``, with more ``facts`` of its names, and ``config.yaml``, which marks the run as begun.

    Raises ``UserError``.
    """
    versions = {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}}
    machine = f"{platform.machine()} {platform.system()}"
    info = RunInfo(format=FORMAT, command=command, versions=versions, machine=machine, **facts)
    run.write(info)
    run.write_yaml(CONFIG, dict(flags))


def _version(package: str) -> str:
    """The installed one; unknown where a package is on the path alone, as from a checkout."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def has_begun(run: Run) -> bool:
    """Whether the folder has a run. Raises ``UserError`` when another version of this program made it."""
    if not run.has(CONFIG):
        return False
    found = run.find(_Format)
    if found is None or found.format != FORMAT:
        made = "format 1" if found is None else f"format {found.format}"
        raise UserError(
            f"{run.path}: expected a run folder of format {FORMAT}, got {made} of another version of sparsenas; "
            "use that version for it, or begin a new run in another folder"
        )
    return True


def read_config(run: Run) -> dict[str, Any]:
    """The flags with which the run began. Raises ``UserError`` when the folder has no run or the file is damaged."""
    if not has_begun(run):
        run.need(CONFIG, "search")
    path = run / CONFIG
    where = f"{path}: expected the flags of a run"
    return typed(parse_yaml(run.do(lambda: read_text(path, where)), where), dict[str, Any], where)


def threads_of(run: Run) -> int:
    """The CPU threads of a run; 0 where it does not say. Raises ``UserError`` for a folder without one."""
    threads = read_config(run).get("threads")
    return threads if isinstance(threads, int) and threads > 0 else 0
