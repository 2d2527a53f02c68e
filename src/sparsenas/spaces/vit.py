"""The ImageNet space of AutoFormer (Chen, Peng, Fu, Ling; ICCV 2021): vision transformers of all sizes in one."""

from __future__ import annotations

from typing import Literal

from torch import nn

from sparsenas.core.depth import OptionalBlock
from sparsenas.core.elastic import Expansion, SliceConv2d, SliceLinear, Width
from sparsenas.core.elastic_tokens import SliceLayerNorm, SliceTokens
from sparsenas.errors import UserError
from sparsenas.nn.blocks import DropPath, Residual
from sparsenas.nn.relative import RelativeDotProduct, RelativePositions
from sparsenas.nn.transformer import Attention, ClassToken, DotProduct, Patches, PatchMean


def vit(
    embed: tuple[int, ...] = (192, 216, 240),
    heads: tuple[int, ...] = (3, 4),
    ratios: tuple[float, ...] = (3.5, 4.0),
    depths: tuple[int, ...] = (12, 13, 14),
    head_size: int = 64,
    patch: int = 16,
    pool: Literal["mean", "token"] = "mean",
    relative: bool = True,
    distance: int = 14,
    shape: tuple[int, int, int] = (3, 224, 224),
    classes: int = 1000,
) -> nn.Sequential:
    """Builds the space of the tiny AutoFormers: 2.4e9 architectures of vision transformers.

    Open are the channels of a token, the number of blocks, and the heads and the MLP ratio of each block.
    Patches become tokens by one convolution. A class token is put before them, and a learned position is added. Blocks
    normalise first and have two residual branches: self-attention whose heads have 64 channels each, whatever ``embed``
    is, and an MLP with GELU. The classifier reads a normalised mean. Smaller options are the first slices of the
    largest weights (weight entanglement). With a drop-path rate, later blocks are dropped more often.

    Attention has learned relative positions of keys and values (``nn/relative.py``), which the heads of a block share.
    They add 7680 parameters to a block.

    Ranges and structure are those of the released configuration ``supernet-T``, whose supernet allocates 256 channels.
    The space has 5.37 to 10.52 M parameters and 1.19 to 2.30 G multiply-adds. The published network,
    ``--arch autoformer_t``, also has ratios of 3. It has 5,867,944 parameters and 1.312 G multiply-adds, of which
    0.029 G are products with relative positions. Published: 5.7 M and 1.3 G.

    Small images need small patches: ``--space.patch 2`` for 8x8 pixels. The recipe ``vit_digits`` sets all sizes.

    Args:
        embed: channels of a token to choose from, the same in all blocks.
        heads: numbers of heads to choose from, in each block.
        ratios: channels between the two layers of an MLP to choose from in each block, as factors of ``embed``.
        depths: numbers of blocks to choose from.
        head_size: channels of a head.
        patch: side of a patch in pixels.
        pool: what the classifier reads: mean of the patches' tokens, or the class token.
        relative: whether attention has relative positions.
        distance: rows or columns between two patches that have a relative position of their own; larger distances have
            that of the largest.
        shape: channels, height and width of an image.
        classes: number of classes.
    """
    _check(head_size, patch, pool, distance, shape)
    for flag, values in (("embed", embed), ("heads", heads), ("ratios", ratios), ("depths", depths)):
        if not values or list(values) != sorted(set(values)) or values[0] <= 0:
            raise UserError(f"--space.{flag}: expected increasing positive numbers, got {tuple(values)}")
    width, side = Width("embed", embed), (shape[1] // patch, shape[2] // patch)
    conv = SliceConv2d(shape[0], width, patch, stride=patch)
    layers: list[nn.Module] = [nn.Sequential(Patches(conv), SliceTokens(width, side[0] * side[1]))]
    for number in range(1, depths[-1] + 1):
        name, drop = f"block{number}", (number - 1) / max(1, depths[-1] - 1)
        inner = Width(f"{name}.heads", [head_size * n for n in heads], [str(n) for n in heads])
        middle = Expansion(f"{name}.ratio", width, ratios)
        attend = RelativeDotProduct(side, head_size, distance) if relative else DotProduct()
        attention = _attention(width, inner, head_size, attend)
        block = nn.Sequential(_branch(width, drop, attention), _branch(width, drop, *_mlp(width, middle)))
        layers.append(OptionalBlock("depth", depths, number, block) if number > depths[0] else block)
    reads = PatchMean() if pool == "mean" else ClassToken()
    layers.append(nn.Sequential(SliceLayerNorm(width), reads, SliceLinear(width, classes)))
    return _initialised(nn.Sequential(*layers))


def _check(head_size: int, patch: int, pool: str, distance: int, shape: tuple[int, int, int]) -> None:
    if pool not in ("mean", "token"):
        raise UserError(f"--space.pool: expected mean or token, got {pool!r}")
    for flag, value in (("head_size", head_size), ("distance", distance)):
        if value < 1:
            raise UserError(f"--space.{flag}: expected >= 1, got {value}")
    if patch < 1 or shape[1] % patch or shape[2] % patch:
        raise UserError(
            f"--space.patch: expected a divisor of the image's sides {shape[1]} and {shape[2]}, got {patch}"
        )


def _branch(width: Width, drop: float, *layers: nn.Module) -> nn.Module:
    return Residual(nn.Sequential(SliceLayerNorm(width), *layers, DropPath(share=drop)))


def _attention(width: Width, inner: Width, size: int, attend: nn.Module) -> nn.Module:
    query, key, value = (SliceLinear(width, inner) for _ in range(3))
    return Attention(query, key, value, SliceLinear(inner, width), size, attend)


def _mlp(width: Width, middle: Expansion) -> tuple[nn.Module, ...]:
    return SliceLinear(width, middle), nn.GELU(), SliceLinear(middle, width)


def _initialised(net: nn.Sequential) -> nn.Sequential:
    """Draws tokens, positions and linear layers as the authors: normal, of standard deviation 0.02, cut at 2."""
    for module in net.modules():
        if isinstance(module, SliceLinear):
            nn.init.trunc_normal_(module.weight, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, SliceTokens):
            nn.init.trunc_normal_(module.token, std=0.02)
            nn.init.trunc_normal_(module.position, std=0.02)
        elif isinstance(module, RelativePositions):
            nn.init.trunc_normal_(module.vertical, std=0.02)
            nn.init.trunc_normal_(module.horizontal, std=0.02)
    return net
