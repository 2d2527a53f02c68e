"""What is counted of a classifier adds up over batches and processes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sparsenas.nn.metrics import Classification, Confusion
from torch.nn import functional as F

METRIC = Classification()


@given(st.lists(st.integers(1, 30), min_size=1, max_size=5), st.integers(0, 100))
def test_sums_of_batches_give_the_result_of_all_images(sizes: list[int], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(sum(sizes), 7, generator=generator)
    labels = torch.randint(7, (sum(sizes),), generator=generator)
    parts = zip(logits.split(sizes), labels.split(sizes), strict=True)
    found = METRIC.result(torch.stack([METRIC.sums(*part) for part in parts]).sum(0))
    assert found.accuracy == sum(int(x.argmax() == y) for x, y in zip(logits, labels, strict=True)) / sum(sizes)
    assert found.loss == pytest.approx(float(F.cross_entropy(logits.double(), labels)), rel=1e-5)


def test_a_given_loss_is_counted_in_place_of_the_cross_entropy() -> None:
    logits, labels = torch.randn(3, 4), torch.tensor([0, 1, 2])
    sums = METRIC.sums(logits, labels, torch.tensor(0.7))
    assert METRIC.result(sums).loss == float(torch.tensor(0.7))  # not rounded
    assert sums[2] == 3


def test_no_gradient_is_kept() -> None:
    logits = torch.randn(3, 4, requires_grad=True)
    assert not METRIC.sums(
        logits, torch.tensor([0, 1, 2]), F.cross_entropy(logits, torch.tensor([0, 1, 2]))
    ).requires_grad


def test_equal_predictions() -> None:
    logits = torch.tensor([[1.0, 2.0], [2.0, 1.0], [0.0, 3.0]])
    assert METRIC.same(logits, logits * 5) == 3
    assert METRIC.same(logits, logits.flip(0)) == 3 - 0
    assert METRIC.same(logits, -logits) == 0


@given(st.lists(st.integers(1, 30), min_size=1, max_size=4), st.integers(1, 9), st.integers(0, 100))
def test_confusion_counts_every_image_once(sizes: list[int], classes: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(sum(sizes), classes, generator=generator)
    labels = torch.randint(classes, (sum(sizes),), generator=generator)
    confusion, slow = Confusion(classes), [[0] * classes for _ in range(classes)]
    for part in zip(logits.split(sizes), labels.split(sizes), strict=True):
        confusion.add(*part)
    for x, y in zip(logits, labels, strict=True):
        slow[int(y)][int(x.argmax())] += 1
    assert confusion.rows() == slow
