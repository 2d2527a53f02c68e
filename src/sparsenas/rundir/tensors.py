"""Files of tensors: written atomically, read without running code from them, checksums compared."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

from sparsenas.errors import UserError, first_line
from sparsenas.rundir.files import write_atomic

LOAD_ERRORS = (KeyError, TypeError, ValueError, IndexError, AttributeError, RuntimeError)
"""What a ``load_state_dict`` raises when it is given another object's state."""
READ_ERRORS = (OSError, RuntimeError, pickle.UnpicklingError, zipfile.BadZipFile, EOFError, ValueError, KeyError)


def save_tensors(path: Path, state: object, keep_as: Path | None = None) -> None:
    """Writes tensors and plain values; an earlier file is kept as ``keep_as``. Raises ``UserError``."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    if keep_as is not None and path.exists():
        os.replace(path, keep_as)
    write_atomic(path, lambda file: file.write(buffer.getbuffer()))


def load_tensors(path: Path) -> Any:
    """Reads what ``save_tensors`` wrote. Raises ``UserError`` when the file is damaged.

    ``torch.load`` alone does not compare checksums.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if (bad := archive.testzip()) is not None:
                raise zipfile.BadZipFile(f"the checksum of {bad} is wrong")
        return torch.load(path, map_location="cpu", weights_only=True)
    except READ_ERRORS as error:
        foreign = isinstance(error, pickle.UnpicklingError)
        reason = "objects other than tensors and plain values" if foreign else first_line(error)[:120]
        raise UserError(f"{path}: expected tensors saved by sparsenas, got a damaged file: {reason}") from error
