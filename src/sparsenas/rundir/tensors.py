"""Files of tensors: written atomically, read without running code from them, checksums compared."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from sparsenas.errors import UserError, first_line
from sparsenas.rundir.files import Write, write_atomic

LOAD_ERRORS = (KeyError, TypeError, ValueError, IndexError, AttributeError, RuntimeError)
"""What a ``load_state_dict`` raises when it is given another object's state."""
READ_ERRORS = (OSError, RuntimeError, pickle.UnpicklingError, zipfile.BadZipFile, EOFError, ValueError, KeyError)


def save_tensors(path: Path, state: object, keep_as: Path | None = None) -> None:
    """Writes tensors and plain values; an earlier file is kept as ``keep_as``. Raises ``UserError``."""
    write = as_torch(state)
    if keep_as is not None and path.exists():
        os.replace(path, keep_as)
    write_atomic(path, write)


def as_torch(state: object) -> Write:
    """What ``save_tensors`` writes."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return lambda file: file.write(buffer.getbuffer())


def as_safetensors(state: Mapping[str, Any]) -> Write:
    """The file of safetensors of some tensors. Raises ``UserError`` where the format does not know one of them."""
    if other := [name for name, value in state.items() if not isinstance(value, Tensor)]:
        raise UserError(f"expected tensors only, got {other[0]}")
    try:  # tensors that share memory are refused, so each is copied
        apart = {n: value.clone(memory_format=torch.contiguous_format) for n, value in state.items()}
        content = save(apart, {"format": "pt"})
    except (KeyError, RuntimeError, ValueError) as error:
        raise UserError(f"expected other tensors: {first_line(error)}") from error
    return lambda file: file.write(content)


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
