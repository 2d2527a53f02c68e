"""Architectures from text: published ones by name, each with its space, and all other notations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sparsenas.core.arch import Arch
from sparsenas.core.choice import Choice, Choices
from sparsenas.errors import UserError
from sparsenas.parsing import parse_json
from sparsenas.spaces.genotype import OPS, Connections, Genotype
from sparsenas.spaces.shufflenet import KERNELS, WIDTHS

Flag = str | int | tuple[int, ...] | tuple[float, ...]


class Published(NamedTuple):
    """A published architecture."""

    space: str
    """The space by its built-in name."""
    flags: Mapping[str, Flag]
    """The flags of the space that differ from its defaults."""
    arch: Mapping[str, str | list[str]]
    """The labels of the options kept, by choice."""


def _spos(blocks: str, widths: str = "") -> Published:
    """From the indices of each block's option, and of each block's width if widths were searched."""
    units, factors = list(KERNELS), [f"{factor}x" for factor in WIDTHS]
    arch: dict[str, str | list[str]] = {f"block{i + 1}": units[int(n)] for i, n in enumerate(blocks.split())}
    arch |= {f"block{i + 1}.width": factors[int(n)] for i, n in enumerate(widths.split())}
    return Published("shufflenet", {"vary": "both"} if widths else {}, arch)


def _mobile(space: str, layers: str, flags: Mapping[str, Flag]) -> Published:
    """From the label of each layer."""
    return Published(space, flags, {f"layer{i + 1}": label for i, label in enumerate(layers.split())})


def _vit(embed: int, heads: str, ratios: str, deepest: int) -> Published:
    """From the heads and the MLP ratio of each block; blocks that do not run have the first options."""
    every = sorted(set(ratios.split()))
    arch: dict[str, str | list[str]] = {"embed": str(embed), "depth": str(len(ratios.split()))}
    for i in range(deepest):
        runs = i < len(ratios.split())
        arch[f"block{i + 1}.heads"] = heads.split()[i] if runs else min(heads.split())
        arch[f"block{i + 1}.ratio"] = ratios.split()[i] if runs else every[0]
    return Published("vit", {"ratios": tuple(map(float, every))}, arch)


CIFAR: Mapping[str, Flag] = {"width": 36, "cells": 20, "closing_norms": "none"}
"""The size at which networks found on CIFAR-10 are trained."""


def _darts(space: str, flags: Mapping[str, Flag], normal: str, reduce: str) -> Published:
    """From connections such as s3.1: an operation's initials or its initial and kernel, and its predecessor."""
    codes = dict(zip(("mp", "ap", "sk", "s3", "s5", "d3", "d5"), OPS, strict=True))

    def cell(text: str) -> Connections:
        return tuple((codes[word[:2]], int(word[3:])) for word in text.split())

    return Published(space, flags, Genotype(cell(normal), cell(reduce)).labels())


ONE_STAGE = ("sk.0 d3.1 s3.1 d5.2 ap.3 s3.1 s5.1 s3.2", "ap.0 mp.1 sk.0 mp.1 s5.1 ap.0 mp.0 d5.2")
"""The cells that ISTA-NAS found in one stage."""

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
    # ISTA-NAS, two-stage: 3.317 M parameters, 2.54 % error on CIFAR-10.
    "ista_twostage": _darts(
        "darts",
        CIFAR,
        "sk.0 d3.1 s5.0 d3.2 d3.1 s3.0 s3.2 sk.0",
        "ap.0 s5.1 d5.2 mp.1 d5.3 s3.1 d5.4 s5.1",
    ),
    # ISTA-NAS, one-stage: 3.364 M parameters, 2.36 % error on CIFAR-10.
    "ista_onestage": _darts("darts", CIFAR, *ONE_STAGE),
    # The same as it was trained, every operation closed by a batch norm: 3.372 M parameters.
    "ista_onestage_norms": _darts("darts", {**CIFAR, "closing_norms": "all"}, *ONE_STAGE),
    # ISTA-NAS, found on ImageNet: 5.651 M parameters, 24.0 % error.
    "ista_imagenet": _darts(
        "darts_imagenet",
        {},
        "s3.1 s3.0 s3.1 sk.2 s3.1 s3.0 s3.1 d5.4",
        "sk.0 s3.1 d5.2 s3.0 s3.0 sk.2 s3.2 sk.3",
    ),
    # DARTS, first order: 3.0 % error on CIFAR-10.
    "darts_v1": _darts(
        "darts",
        CIFAR,
        "s3.1 s3.0 sk.0 s3.1 sk.0 s3.1 s3.0 sk.2",
        "mp.0 mp.1 sk.2 mp.0 mp.0 sk.2 sk.2 ap.0",
    ),
    # DARTS, second order: 3.349 M parameters, 2.76 % error on CIFAR-10.
    "darts_v2": _darts(
        "darts",
        CIFAR,
        "s3.0 s3.1 s3.0 s3.1 s3.1 sk.0 sk.0 d3.2",
        "mp.0 mp.1 sk.2 mp.1 mp.0 sk.2 sk.2 mp.1",
    ),
    # AutoFormer-T: 1.3 G, 5.7 M parameters, 25.3 % error.
    "autoformer_t": _vit(
        192,
        "3 3 3 3 3 3 3 3 3 3 4 3 3",
        "3.5 3.5 3.0 3.5 3.0 3.0 4.0 4.0 3.5 4.0 3.5 4.0 3.5",
        deepest=14,
    ),
}
"""By name, as ``--arch`` takes it."""


def read_arch(choices: Choices, text: str) -> Arch:
    """Reads an architecture: a published name, JSON by labels, ``uniform:LABEL[,LABEL]``, or compact text.

    Raises ``UserError`` when it does not fit the choices.
    """
    if text in PUBLISHED:
        space, flags, labels = PUBLISHED[text]
        try:
            return Arch.from_json(choices, labels)
        except UserError as error:
            wanted = " ".join((space, *(f"--space.{flag} {value}" for flag, value in flags.items())))
            raise UserError(f"--arch {text}: expected --space {wanted}, got another space: {error}") from error
    if text.lstrip().startswith("{"):
        return Arch.from_json(choices, parse_json(text, f"--arch {text[:80]}"))
    if text.startswith("uniform:"):
        named = text.removeprefix("uniform:").split(",")
        return Arch(choices, {name: choice.picks(_first_of(choice, named)) for name, choice in choices.items()})
    return Arch.from_text(choices, text)


def _first_of(choice: Choice, labels: Sequence[str]) -> str:
    """The first label that is one of the choice's, as in ``uniform:w2a2,1.0x``; else the first, for the error."""
    return next((label for label in labels if label in choice.options), labels[0])
