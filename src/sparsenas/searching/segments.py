"""A supernet as a row of segments, so that candidates can share the first ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from torch import nn

from sparsenas.core.gate import choices


@runtime_checkable
class Segmented(Protocol):
    """A network that runs an ordered list of segments, each on the output of the one before."""

    def segments(self) -> Sequence[nn.Module]:
        """The segments in order."""
        ...


def segments_of(net: nn.Module) -> list[nn.Module]:
    """The segments of a network, neighbours without choices joined; one segment where the network names none."""
    joined: list[nn.Module] = []
    plain: list[nn.Module] = []
    for part in _parts(net):
        if choices(part):
            joined += [nn.Sequential(*plain), part] if plain else [part]
            plain = []
        else:
            plain.append(part)
    return joined + ([nn.Sequential(*plain)] if plain else [])


def _parts(net: nn.Module) -> Sequence[nn.Module]:
    if isinstance(net, nn.Sequential):
        return list(net)
    return net.segments() if isinstance(net, Segmented) else [net]
