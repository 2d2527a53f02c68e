"""The ImageNet space of AutoFormer (Chen, Peng, Fu, Ling; ICCV 2021): vision transformers of all sizes in one."""

from __future__ import annotations

from typing import Literal

from torch import nn

from sparsenas.core.depth import Deep
from sparsenas.core.elastic import Expansion, SliceConv2d, SliceLinear, Width
from sparsenas.core.elastic_tokens import SliceLayerNorm, SliceTokens
from sparsenas.errors import UserError
from sparsenas.nn.blocks import DropPath, Residual
from sparsenas.nn.transformer import Attention, ClassToken, Patches, PatchMean


def vit(
    embed: tuple[int, ...] = (192, 216, 240),
    heads: tuple[int, ...] = (3, 4),
    ratios: tuple[float, ...] = (3.5, 4.0),
    depths: tuple[int, ...] = (12, 13, 14),
    head_size: int = 64,
    patch: int = 16,
    pool: Literal["mean", "token"] = "mean",
    shape: tuple[int, int, int] = (3, 224, 224),
    classes: int = 1000,
) -> nn.Sequential:
    """Builds the supernet of the tiny AutoFormers.

    Args:
        embed: channels of a token to choose from, the same in all blocks.
        heads: numbers of heads to choose from, in each block.
        ratios: channels between the two layers of an MLP to choose from in each block, as factors of ``embed``.
        depths: numbers of blocks to choose from.
        head_size: channels of a head.
        patch: side of a patch in pixels.
        pool: what the classifier reads: mean of the patches' tokens, or the class token.
        shape: channels, height and width of an image.
        classes: number of classes.
    """
    _check(head_size, patch, pool, shape)
    width, side = Width("embed", embed), (shape[1] // patch, shape[2] // patch)
    conv = SliceConv2d(shape[0], width, patch, stride=patch)
    layers: list[nn.Module] = [nn.Sequential(Patches(conv), SliceTokens(width, side[0] * side[1]))]
    for number in range(1, max(depths, default=0) + 1):
        name, drop = f"block{number}", (number - 1) / max(1, max(depths) - 1)
        inner = Width(f"{name}.heads", [head_size * n for n in heads], [str(n) for n in heads])
        middle = Expansion(f"{name}.ratio", width, ratios)
        block = nn.Sequential(_attention(width, inner, head_size, drop), _mlp(width, middle, drop))
        layers.append(Deep("depth", depths, number, block) if number > min(depths) else block)
    reads = PatchMean() if pool == "mean" else ClassToken()
    layers.append(nn.Sequential(SliceLayerNorm(width), reads, SliceLinear(width, classes)))
    return _initialised(nn.Sequential(*layers))


def _check(head_size: int, patch: int, pool: str, shape: tuple[int, int, int]) -> None:
    if pool not in ("mean", "token"):
        raise UserError(f"--space.pool: expected mean or token, got {pool!r}")
    if head_size < 1:
        raise UserError(f"--space.head_size: expected >= 1, got {head_size}")
    if patch < 1 or shape[1] % patch or shape[2] % patch:
        raise UserError(
            f"--space.patch: expected a divisor of the image's sides {shape[1]} and {shape[2]}, got {patch}"
        )


def _attention(width: Width, inner: Width, size: int, drop: float) -> nn.Module:
    layers = (SliceLinear(width, inner), SliceLinear(width, inner), SliceLinear(width, inner))
    attention = Attention(*layers, SliceLinear(inner, width), size)
    return Residual(nn.Sequential(SliceLayerNorm(width), attention, DropPath(share=drop)))


def _mlp(width: Width, middle: Width, drop: float) -> nn.Module:
    layers = (SliceLinear(width, middle), nn.GELU(), SliceLinear(middle, width))
    return Residual(nn.Sequential(SliceLayerNorm(width), *layers, DropPath(share=drop)))


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
    return net
