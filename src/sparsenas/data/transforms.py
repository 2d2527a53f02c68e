"""Random changes of training images, batch by batch on any device."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Beta

from sparsenas.nn.tree import Tree, map_tensors

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation of ImageNet's channels, used for all photographs."""


class Target(NamedTuple):
    """The targets of a batch, whose inputs may be blends of two."""

    targets: Tree
    others: Tree | None = None
    """Targets of the inputs that were blended in."""
    share: float = 1.0
    """Weight of ``targets``; that of ``others`` is the rest."""


def random_crop(size: tuple[int, int], smallest: float, jitter: float) -> nn.Module:
    """The augmentation of photographs: random crops of ``size`` (height, width), mirrored, with colour jitter.

    A crop has an area of ``smallest`` to 1, as a share of the image.
    """
    from kornia.augmentation import RandomHorizontalFlip, RandomResizedCrop

    crop = RandomResizedCrop(size, scale=(smallest, 1.0))
    return nn.Sequential(crop, RandomHorizontalFlip(), *color_jitter(jitter))


def random_shift(size: tuple[int, int], jitter: float, fill: int = 0) -> nn.Module:
    """The augmentation of small images: shifted by up to an eighth of the larger side, mirrored, with colour jitter.

    ``size`` is height and width, ``fill`` the grey value, 0 to 255, that comes in from the edge.
    """
    from kornia.augmentation import RandomCrop, RandomHorizontalFlip

    shifted = RandomCrop(size, padding=round(max(size) / 8), fill=fill / 255)
    return nn.Sequential(shifted, RandomHorizontalFlip(), *color_jitter(jitter))


def color_jitter(jitter: float) -> list[nn.Module]:
    """Random brightness, contrast and saturation, each scaled by up to 1 +- ``jitter``; nothing for 0."""
    from kornia.augmentation import ColorJitter

    return [ColorJitter(jitter, jitter, jitter)] if jitter > 0 else []


def rand_augment(magnitude: int, channels: int) -> nn.Module:
    """RandAugment (Cubuk et al., 2020): two of its operations, drawn for each batch, of a magnitude of 1 to 9.

    The larger the magnitude, the larger the change. Colour, contrast, brightness and sharpness become more in half of
    the batches, less in the others. Images with other than three channels keep their colours: the operation that
    changes them is left out.
    """
    from kornia.augmentation.auto import RandAugment

    # Kornia's own scale ends at 30. Its own ranges of colours go from less to more, so that 15 changes nothing.
    policies = [_operations(magnitude / 10, sign, channels) for sign in (1, -1)]
    return OneOf(*(RandAugment(2, 3 * magnitude, policy=policy) for policy in policies))


def _operations(strength: float, sign: int, channels: int) -> list[list[tuple[str, float, float | None]]]:
    """The operations, each with the range of what it does; those with both ends alike do that."""
    factor, added = 1 + sign * 0.9 * strength, 1 + sign * 0.5 * strength
    fixed = {"contrast": factor, "sharpness": factor, "brightness": added, "solarize": 1 - strength}
    fixed |= {"color": factor} if channels == 3 else {}
    both_ways = {"rotate": 30.0, "shear_x": 0.3, "shear_y": 0.3, "translate_x": 0.1, "translate_y": 0.1}
    ranges = {"auto_contrast": (0.0, 1.0), "equalize": (0.0, 1.0), "posterize": (4.0, 8.0)}
    ranges |= {name: (value, value) for name, value in fixed.items()}
    ranges |= {name: (-most, most) for name, most in both_ways.items()}
    return [[(name, *ends)] for name, ends in ranges.items()]


class OneOf(nn.Module):
    """Each batch goes through one of several modules, drawn uniformly."""

    def __init__(self, *modules: nn.Module) -> None:
        super().__init__()
        self.choices = nn.ModuleList(modules)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.choices[int(torch.randint(len(self.choices), ()))](x)
        return y


def erased(x: Tensor, probability: float) -> Tensor:
    """Sets a box of each image to 0 with a probability (random erasing, Zhong et al., 2017).

    A box has 2 to 33 % of the area and sides in proportions of 0.3 to 3.3. In normalised images 0 is the mean.
    """
    from kornia.augmentation import RandomErasing

    changed: Tensor = RandomErasing(p=probability)(x)
    return changed


def cutout(x: Tensor, side: int) -> Tensor:
    """Sets a square of ``side`` pixels to 0 in each image of a batch (DeVries and Taylor, 2017).

    The centre is drawn uniformly over the image, so the square may reach beyond the edge. In normalised images 0 is
    the mean.
    """
    inside = torch.ones(len(x), 1, 1, 1, dtype=torch.bool, device=x.device)
    for dim in (2, 3):
        size = x.shape[dim]
        centre = torch.randint(size, (len(x), 1, 1, 1), device=x.device)
        along = torch.arange(size, device=x.device).view([-1 if d == dim else 1 for d in range(4)])
        offset = along - centre + side // 2
        inside = inside & (offset >= 0) & (offset < side)
    return x.masked_fill(inside, 0)


def blended(x: Tree, targets: Tree, mixup: float, cutmix: float) -> tuple[Tree, Target]:
    """Blends each input, one tensor, with the one before it in the batch, whose order is random already.

    ``mixup`` and ``cutmix`` are the alpha of Beta(alpha, alpha), from which one share per batch is drawn; 0 = off.
    With both, each batch gets one of them with equal probability. Everything is drawn from torch's global generator on
    the CPU, so that nothing waits for a device.
    """
    if mixup <= 0 and cutmix <= 0:
        return x, Target(targets)
    cut = cutmix > 0 and (mixup <= 0 or bool(torch.rand(()) < 0.5))
    alpha = cutmix if cut else mixup
    share = float(Beta(alpha, alpha).sample())
    x, share = cut_in(x, share) if cut else (x.lerp(x.roll(1, 0), 1 - share), share)
    return x, Target(targets, map_tensors(lambda leaf: leaf.roll(1, 0), targets), share)


def cut_in(x: Tensor, share: float) -> tuple[Tensor, float]:
    """Copies a box of each image into the next one, at the same place (CutMix, Yun et al., 2019).

    The box has about ``1 - share`` of the area. Its centre is drawn over the whole image, so it may reach beyond the
    edge. Returns the share of each image that is its own.
    """
    height, width = x.shape[2:]
    side = (1 - share) ** 0.5
    (top, bottom), (left, right) = (_span(size, side) for size in (height, width))
    x = x.clone()
    x[:, :, top:bottom, left:right] = x[:, :, top:bottom, left:right].roll(1, 0)
    return x, 1 - (bottom - top) * (right - left) / (height * width)


def _span(size: int, side: float) -> tuple[int, int]:
    """First and last pixel of a box along one dimension."""
    centre, half = int(torch.randint(size, ())), int(size * side) // 2
    return max(0, centre - half), min(size, centre + half)
