"""What several tests need and what takes long to make: made once, by whichever process of the tests needs it first."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

MadeOnce = Callable[[str, Callable[[Path], object]], Path]
"""The folder of a name, which a function makes where no process has made it. Only to be read: others read it too."""


def sharing(factory: pytest.TempPathFactory) -> MadeOnce:
    """The folders of one run of pytest, which all of its workers share."""
    base = factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared"
    shared.mkdir(exist_ok=True)

    def folder(name: str, make: Callable[[Path], object]) -> Path:
        out, made = shared / name, shared / f"{name}.made"
        with FileLock(shared / f"{name}.lock"):
            if not made.exists():
                shutil.rmtree(out, ignore_errors=True)  # of one that failed
                make(out)
                made.touch()
        return out

    return folder
