"""A supernet as a row of segments, so that candidates can share the first ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from torch import nn

from sparsenas.core.gate import choices
from sparsenas.nn.hooks import has_hooks


@runtime_checkable
class Segmented(Protocol):
    """A network that runs an ordered list of segments, each on the output of the one before."""

    def segments(self) -> Sequence[nn.Module]:
        """The segments in order."""
        ...


def segments_of(net: nn.Module) -> list[nn.Module]:
    """The segments of a network, neighbours without choices joined.

    One segment where the network names none, where it does more than run them, or where segments share statistics.
    """
    joined: list[nn.Module] = []
    plain: list[nn.Module] = []
    for part in _parts(net):
        if choices(part):
            joined += [nn.Sequential(*plain), part] if plain else [part]
            plain = []
        else:
            plain.append(part)
    joined += [nn.Sequential(*plain)] if plain else []
    buffers = [id(buffer) for segment in joined for buffer in segment.buffers()]
    return joined if len(set(buffers)) == len(buffers) else [net]


def _parts(net: nn.Module) -> Sequence[nn.Module]:
    if has_hooks(net):
        return [net]
    if isinstance(net, nn.Sequential) and type(net).forward is nn.Sequential.forward:
        return list(net)
    return net.segments() if isinstance(net, Segmented) else [net]
