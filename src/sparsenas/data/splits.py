"""Training, validation and test images, each with equal class shares."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from sparsenas.data.encoded import EncodedImages
from sparsenas.errors import UserError

Labels = np.ndarray[tuple[int], np.dtype[np.int64]]


def stratified(
    labels: Labels, share: float, seed: int, flag: str = "--data.val_share", value: float | None = None
) -> tuple[Tensor, Tensor]:
    """Splits indices in two with equal class shares; the second part has ``share`` of them.

    Raises ``UserError``, which names the flag and its value (``share`` unless given), when a part lacks a class.
    """
    from sklearn.model_selection import train_test_split

    indices = np.arange(len(labels))
    try:
        first, second = train_test_split(indices, test_size=float(share), stratify=labels, random_state=seed)
    except ValueError as error:
        got = share if value is None else value
        raise UserError(f"{flag}: expected images of every class in both parts, got {got:g}") from error
    return torch.as_tensor(np.sort(first)), torch.as_tensor(np.sort(second))


SPLIT_OFF = "split off"
"""The origin of a part that a data set lacks."""


def origins(parts: Mapping[str, str]) -> tuple[str, str]:
    """Where the validation and the test images are from under ``split_parts``; ``parts`` are the names of the parts."""
    val, test = parts.get("val"), parts.get("test")
    val, test = (val, test) if test is not None else (None, val)
    return val or SPLIT_OFF, test or SPLIT_OFF


def split_parts(
    parts: Mapping[str, EncodedImages], val_share: float, test_share: float, seed: int
) -> tuple[EncodedImages, EncodedImages, EncodedImages]:
    """Training, validation and test images, out of the parts ``train`` and perhaps ``val`` and ``test``.

    A single part beside train is the test part. A missing part is split off train: ``test_share`` of it, always the
    same images, then ``val_share`` of the rest by the seed.
    """
    train, val, test = parts["train"], parts.get("val"), parts.get("test")
    if test is None:
        val, test = None, val
    if test is None:
        rest, chosen = stratified(train.targets.numpy(), test_share, seed=0, flag="--data.test_share")
        train, test = train.subset(rest), train.subset(chosen)
    if val is None:
        rest, chosen = stratified(train.targets.numpy(), val_share, seed=seed)
        train, val = train.subset(rest), train.subset(chosen)
    return train, val, test
