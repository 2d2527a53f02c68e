"""The handwritten digits that come with scikit-learn: 1797 scans of 8x8 pixels."""

from __future__ import annotations

import torch

from sparsenas.data.dataset import Data, Split, stratified


def digits(seed: int = 0, val_share: float = 0.25) -> Data:
    """Loads the digits: a fifth for testing (always the same), the rest split into train and held-out.

    Args:
        seed: decides the held-out split.
        val_share: share of the images left for training that is held out.
    """
    from kornia.augmentation import RandomAffine
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    images = torch.as_tensor(pixels * (255 / 16)).round().to(torch.uint8).view(-1, 1, 8, 8)
    everything = Split(images, torch.as_tensor(labels))
    rest, test = stratified(labels, 0.2, seed=0)
    train, held = stratified(labels[rest.numpy()], val_share, seed=seed)
    shown = everything.subset(rest[train])
    return Data(
        classes=tuple("0123456789"),
        train=shown,
        val=everything.subset(rest[held]),
        test=everything.subset(test),
        mean=(float((shown.images / 255).mean()),),
        std=(float((shown.images / 255).std()),),
        val_rows=rest[held],
        augment=RandomAffine(degrees=8.0, translate=(0.1, 0.1), scale=(0.9, 1.1), shear=5.0, p=0.8),
    )
