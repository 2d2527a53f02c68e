"""The space of NAS-Bench-Macro (Su et al., CVPR 2021): eight layers, three choices each, all 6561 trained."""

from __future__ import annotations

from torch import nn

from sparsenas.core.arch import Arch
from sparsenas.core.choice import Picks
from sparsenas.core.derive import Derivable
from sparsenas.core.join import Join
from sparsenas.nn.blocks import conv_bn, inverted_residual

STAGES = ((2, 64), (3, 128), (3, 256))
IDENTITY: Picks = (0,)


class Macro(nn.Sequential, Derivable):
    """The benchmark's network, with the equivalence of its architectures."""

    def canonical(self, arch: Arch) -> Arch:
        """One architecture for all that build the same network: 3969 of the 6561 codes.

        Identities go to the end of their stage, whose first layer halves the image and has no true identity. With
        inherited weights equivalent architectures may still differ, since each layer has its own.
        """
        picks = list(arch.values())
        ordered: list[Picks] = []
        for depth, _ in STAGES:
            first, *rest = picks[len(ordered) : len(ordered) + depth]
            ordered += [first, *sorted(rest, key=lambda pick: pick == IDENTITY)]  # stable: the others keep their order
        return arch.replace(dict(zip(arch, ordered, strict=True)))

    def derived(self) -> nn.Module:
        """An ordinary sequence."""
        return nn.Sequential(*self)


def nasbench_macro(shape: tuple[int, int, int] = (3, 32, 32), classes: int = 10) -> nn.Sequential:
    """Builds the benchmark's network: layers in stages of 2, 3 and 3, the first of each halving the image.

    The options of a layer are the identity (a 1x1 convolution and batch norm where the shape changes), an inverted
    residual of kernel 3 and expansion 3, and one of kernel 5 and expansion 6. The compact text of architectures is the
    benchmark's code, such as ``02012100``.

    Args:
        shape: channels, height and width of an image.
        classes: number of classes.
    """
    layers: list[nn.Module] = [conv_bn(shape[0], 32, 3)]
    inputs = 32
    for depth, outputs in STAGES:
        for i in range(depth):
            layers.append(_layer(f"layer{len(layers)}", inputs, outputs, 2 if i == 0 else 1))
            inputs = outputs
    head = nn.Sequential(conv_bn(inputs, 1280, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1280, classes))
    return Macro(*layers, head)


def _layer(name: str, inputs: int, outputs: int, stride: int) -> Join:
    keeps = stride == 1 and inputs == outputs
    return Join.of(
        name,
        {
            "identity": nn.Identity() if keeps else conv_bn(inputs, outputs, 1, stride, relu=False),
            "mb3e3": inverted_residual(inputs, outputs, 3, 3, stride),
            "mb5e6": inverted_residual(inputs, outputs, 5, 6, stride),
        },
    )
