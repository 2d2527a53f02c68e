"""Replaces functions of PyTorch in any network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch.overrides import TorchFunctionMode

Replacements = Mapping[Callable[..., Any], Callable[..., Any]]


class FunctionOverrides(TorchFunctionMode):
    """A context in which functions of PyTorch are replaced by others with the same parameters."""

    def __init__(self, replacements: Replacements) -> None:
        super().__init__()
        self.replacements = replacements

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return self.replacements.get(func, func)(*args, **(kwargs or {}))
