"""The handwritten digits of scikit-learn: 1797 images of 8x8 pixels."""

from __future__ import annotations

import torch

from sparsenas.data.dataset import Data, Split
from sparsenas.data.loader import Size, resized
from sparsenas.data.splits import stratified

SIDE = 8


def digits(seed: int = 0, val_share: float = 0.25, size: Size | None = None) -> Data:
    """Loads scikit-learn's handwritten digits: 1797 images of 8x8 pixels, of which 360 are the test split.

    Training images are rotated, shifted, scaled and sheared at random.

    Args:
        seed: seed of the validation split.
        val_share: share of the training images that is the validation split, with equal class shares, between 0 and 1.
        size: height,width in pixels to which images are resized; one number is a square. Default: 8, or what a
            network of another library wants.
    """
    from kornia.augmentation import RandomAffine
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    images = torch.as_tensor(pixels * (255 / 16)).round().to(torch.uint8).view(-1, 1, 8, 8)
    images = resized(images, SIDE if size is None else size)
    everything = Split(images, torch.as_tensor(labels))
    rest, test = stratified(labels, 0.2, seed=0)
    train, val = stratified(labels[rest.numpy()], val_share, seed=seed)
    training = everything.subset(rest[train])
    return Data(
        classes=tuple("0123456789"),
        train=training,
        val=everything.subset(rest[val]),
        test=everything.subset(test),
        mean=(float((training.inputs / 255).mean()),),
        std=(float((training.inputs / 255).std()),),
        val_rows=rest[val],
        augment=RandomAffine(degrees=8.0, translate=(0.1, 0.1), scale=(0.9, 1.1), shear=5.0, p=0.8),
    )
