"""What a module does besides the forward of its class."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

Forward = Callable[..., Any]


def has_hooks(module: nn.Module) -> bool:
    """Whether calling a module does more than its class's ``forward``: it has hooks, or a forward of its own."""
    return bool(module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module))


def replace_forward(module: nn.Module, make: Callable[[Forward], Forward]) -> Callable[[], None]:
    """Lets a module run what ``make`` returns for its ``forward``; returns the function that ends it.

    Unlike hooks it sees runs that pass by the module's ``__call__``, and may leave them out.
    """
    before = vars(module).get("forward")
    module.forward = make(module.forward)

    def restore() -> None:
        del module.forward
        if before is not None:
            module.forward = before

    return restore
