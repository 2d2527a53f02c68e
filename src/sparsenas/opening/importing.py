"""Functions and classes of the user's own, by their name."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from sparsenas.errors import UserError, told


def import_callable(kind: str, name: str, module: str, attribute: str) -> Callable[..., Any]:
    """A callable of a module on the Python path or in the working folder. Raises ``UserError`` naming ``--kind``."""
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise UserError(f"--{kind} {name}: expected an importable module, got: {error}") from error
    except (Exception, SystemExit) as error:  # any code may run here
        raise UserError(f"--{kind} {name}: expected an importable module, got: {told(error)}") from error
    if attribute not in vars(found):
        raise UserError(f"--{kind} {name}: expected a callable in {module}, found no {attribute!r}")
    target: Callable[..., Any] = vars(found)[attribute]
    if not callable(target) or isinstance(target, nn.Module):
        what = f"an object of class {type(target).__name__}"
        raise UserError(f"--{kind} {name}: expected a function or class in {module}, got {what}")
    return target
