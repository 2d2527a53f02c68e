"""Networks initialised anew."""

from __future__ import annotations

from torch import nn


def reset(net: nn.Module) -> nn.Module:
    """Initialises the layers of a network anew, from torch's generator, and returns it.

    Layers that have no ``reset_parameters`` keep their numbers.
    """
    for module in net.modules():
        for name in ("reset_parameters", "_reset_parameters"):
            method = getattr(module, name, None)
            if callable(method):
                method()
                break
    return net
