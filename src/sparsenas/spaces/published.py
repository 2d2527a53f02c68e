"""Architectures that papers and their code published, each with the space it is of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from sparsenas.spaces.shufflenet import KERNELS, WIDTHS

Flag = str | int | tuple[int, ...]


class Published(NamedTuple):
    """A published architecture."""

    space: str
    """The space by its built-in name."""
    flags: Mapping[str, Flag]
    """The flags of the space that differ from its defaults."""
    arch: Mapping[str, str | list[str]]
    """The options kept, by the name of the choice."""


def _spos(blocks: str, widths: str = "") -> Published:
    """From the numbers of the options of each block, and of the width of each block where widths were searched."""
    units, factors = list(KERNELS), [f"{factor}x" for factor in WIDTHS]
    arch: dict[str, str | list[str]] = {f"block{i + 1}": units[int(n)] for i, n in enumerate(blocks.split())}
    arch |= {f"block{i + 1}.width": factors[int(n)] for i, n in enumerate(widths.split())}
    return Published("shufflenet", {"vary": "both"} if widths else {}, arch)


def _mobile(space: str, layers: str, flags: Mapping[str, Flag]) -> Published:
    """From the label of each layer."""
    return Published(space, flags, {f"layer{i + 1}": label for i, label in enumerate(layers.split())})


PUBLISHED: Mapping[str, Published] = {
    # SPOS, the block search of the released code: 323 M multiply-adds.
    "spos_a": _spos("2 1 0 1 2 0 2 0 2 0 2 3 0 0 0 0 3 2 3 3"),
    # SPOS, the search of blocks and widths (released in ShuffleNet-Series, "OneShot"): 328 M.
    "spos_b": _spos("0 0 3 1 1 1 0 0 2 0 2 1 1 0 2 0 2 1 3 2", "6 5 3 5 2 6 3 4 2 5 7 5 4 6 7 4 4 5 4 3"),
    # SPOS as searched again by MMRazor: 317 M.
    "spos_c": _spos("2 0 2 0 3 1 1 0 0 1 0 1 0 3 1 2 2 0 1 3"),
    # ProxylessNAS for mobile phones (Proxyless-R mobile): 320 M, 4.08 M parameters.
    "proxyless_mobile": _mobile(
        "proxyless",
        "k5_e3 k3_e3 skip skip k7_e3 k3_e3 k5_e3 k5_e3 k7_e6 k5_e3 k5_e3 k5_e3 k5_e6 k5_e3 k5_e3 k5_e3 "
        "k7_e6 k7_e6 k7_e3 k7_e3 k7_e6",
        {"widths": (32, 40, 80, 96, 192, 320)},
    ),
    # FBNet-A: 249 M, 4.3 M parameters.
    "fbnet_a": _mobile(
        "fbnet",
        "skip k3_e3 k3_e1 skip skip k5_e6 k3_e3 k5_e1 k3_e3 k5_e6 k5_e3 k5_e1_g2 k5_e6 k3_e6 k5_e1_g2 k5_e3 k3_e1_g2 "
        "k5_e6 k5_e6 k5_e3 k5_e6 k5_e6",
        {},
    ),
}
"""By name; a name is all that ``--arch`` needs."""
