"""CIFAR-10 and CIFAR-100: 60 000 photographs of 32x32 pixels, read from files on this machine."""

from __future__ import annotations

from pathlib import Path

import torch

from sparsenas.data.dataset import Data, Split
from sparsenas.data.loader import Size, resized, sides
from sparsenas.data.sources.archives import CIFAR10, CIFAR100, SIDE, Layout, read
from sparsenas.data.splits import stratified
from sparsenas.data.transforms import random_shift
from sparsenas.errors import UserError

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
FINE_CLASSES_TEXT = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can
castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin
elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard
lobster man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear
pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark
shrew skunk skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone
television tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm
"""
FINE_CLASSES = tuple(FINE_CLASSES_TEXT.split())


def cifar10(
    root: Path,
    seed: int = 0,
    val_share: float = 0.1,
    images: int = 0,
    jitter: float = 0.0,
    fill: int = 0,
    size: Size | None = None,
) -> Data:
    """Loads CIFAR-10. Its test images are the test split.

    Training images are shifted by up to 4 pixels and mirrored at random.

    Args:
        root: folder with train-*.parquet and test-*.parquet, or with the official python or binary archive.
        seed: seed of the validation split.
        val_share: share of the training images that is the validation split, with equal class shares, between 0 and 1.
        images: number of training images used, validation images included, with equal class shares; 0 = all.
        jitter: largest change of brightness, contrast and saturation in training, as a share; 0 = none.
        fill: grey level of the pixels beyond the edges of shifted images, from 0 to 255; 0 = black.
        size: height,width in pixels to which images are resized; one number is a square. Default: 32, or what a
            network of another library wants.
    """
    mean, std = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
    return _data(
        root, CIFAR10, CLASSES, mean, std, seed, val_share, images, jitter, fill, SIDE if size is None else size
    )


def cifar100(
    root: Path,
    seed: int = 0,
    val_share: float = 0.1,
    images: int = 0,
    jitter: float = 0.0,
    fill: int = 0,
    size: Size | None = None,
) -> Data:
    """Loads CIFAR-100 with its 100 fine classes. Its test images are the test split.

    Training images are shifted by up to 4 pixels and mirrored at random.

    Args:
        root: folder with train-*.parquet and test-*.parquet, or with the official python or binary archive.
        seed: seed of the validation split.
        val_share: share of the training images that is the validation split, with equal class shares, between 0 and 1.
        images: number of training images used, validation images included, with equal class shares; 0 = all.
        jitter: largest change of brightness, contrast and saturation in training, as a share; 0 = none.
        fill: grey level of the pixels beyond the edges of shifted images, from 0 to 255; 0 = black.
        size: height,width in pixels to which images are resized; one number is a square. Default: 32, or what a
            network of another library wants.
    """
    mean, std = (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)
    return _data(
        root, CIFAR100, FINE_CLASSES, mean, std, seed, val_share, images, jitter, fill, SIDE if size is None else size
    )


def _data(
    root: Path,
    layout: Layout,
    classes: tuple[str, ...],
    mean: tuple[float, ...],
    std: tuple[float, ...],
    seed: int,
    val_share: float,
    images: int,
    jitter: float,
    fill: int,
    size: Size,
) -> Data:
    parts = {
        part: Split(resized(torch.from_numpy(images), size), torch.from_numpy(labels))
        for part, (images, labels) in read(Path(root), layout, len(classes)).items()
    }
    training = parts["train"]
    if not 0 <= images <= len(training):
        raise UserError(f"--data.images: expected 0 to {len(training)}, got {images}")
    if jitter < 0:
        raise UserError(f"--data.jitter: expected >= 0, got {jitter}")
    if not 0 <= fill <= 255:
        raise UserError(f"--data.fill: expected 0 to 255, got {fill}")
    chosen = torch.arange(len(training))
    if 0 < images < len(training):
        chosen = stratified(training.targets.numpy(), images / len(training), 0, "--data.images", images)[1]
    train, val = (chosen[rows] for rows in stratified(training.targets[chosen].numpy(), val_share, seed=seed))
    augment = random_shift(sides(size), jitter, fill)
    return Data(classes, training.subset(train), training.subset(val), parts["test"], mean, std, augment, val_rows=val)
