"""Trained weights of a user's network, from a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor, nn

from sparsenas.errors import UserError, first_line

WRAPPERS = ("state_dict", "model", "net", "model_state_dict")
"""Keys of training checkpoints under which the weights are."""
PREFIXES = ("module.", "_orig_mod.", "model.", "net.")
"""What wrappers of networks put before every name."""

FLAG = "--space.weights"
"""The flag that names such a file."""
STATE_DICT = "expected a state dict (`torch.save(net.state_dict(), FILE)`)"
FILES = ("model.safetensors", "pytorch_model.bin")
"""The weights in a folder of the Hugging Face hub."""


def load_weights(net: nn.Module, path: str) -> None:
    """Loads a state dict: safetensors, or a file of ``torch.save`` that holds tensors only.

    Raises ``UserError`` for a file that cannot be read, and for one that does not fit the network.
    """
    found = read_weights(net, path)
    check_weights(net.state_dict(), found, f"{FLAG} {path}")
    net.load_state_dict(found)


def read_weights(net: nn.Module, path: str) -> dict[str, Tensor]:
    """The tensors of a file, or a folder of the hub, under their names in a network. Raises ``UserError``."""
    found, wanted = _unwrapped(_read(Path(path), path)), net.state_dict()
    for prefix in PREFIXES:
        if not wanted.keys() & found.keys() and all(name.startswith(prefix) for name in found):
            found = {name.removeprefix(prefix): tensor for name, tensor in found.items()}
    return found


def _read(file: Path, path: str) -> Mapping[str, Any]:
    if file.is_dir():
        file = next((file / name for name in FILES if (file / name).is_file()), file / FILES[0])
    if not file.is_file():
        raise UserError(f"{FLAG}: expected a file, got {str(file)!r}")
    try:
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file

            return dict(load_file(file))
        loaded = torch.load(file, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        got = "a file with pickled objects" if "GLOBAL" in str(error) else "a file that torch.load cannot read"
        raise UserError(f"{FLAG} {path}: {STATE_DICT}, got {got}") from error
    except Exception as error:  # the file may be anything
        raise UserError(f"{FLAG} {path}: expected a state dict of tensors, got: {first_line(error)}") from error
    if not isinstance(loaded, Mapping):
        raise UserError(f"{FLAG} {path}: {STATE_DICT}, got an object of class {type(loaded).__name__}")
    return loaded


def _unwrapped(loaded: Mapping[str, Any]) -> dict[str, Tensor]:
    for key in WRAPPERS:
        if isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
    return {str(name): value for name, value in loaded.items() if isinstance(value, Tensor)}


def check_weights(wanted: Mapping[str, Tensor], found: Mapping[str, Tensor], where: str) -> None:
    """Raises ``UserError`` with the first name that is missing, unexpected, or of another shape.

    ``where`` says whose weights they are.
    """
    extra = next((name for name in found if name not in wanted), None)
    for name, tensor in wanted.items():
        if name not in found:
            others = f" but {extra}; are these the weights of another network?" if extra else ""
            raise UserError(f"{where}: expected {name} of shape {tuple(tensor.shape)}, found none{others}")
        if found[name].shape != tensor.shape:
            shapes = tuple(tensor.shape), tuple(found[name].shape)
            raise UserError(f"{where}: expected {name} of shape {shapes[0]}, got {shapes[1]}")
    if extra is not None:
        raise UserError(f"{where}: the network has no {extra}, which the file has")
