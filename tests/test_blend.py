"""Mixup and cutmix: every pixel is of one of two images, or of both in the share that the loss counts."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.nets import seeds
from torch import Tensor
from torch.nn import functional as F

from sparsenas.data import Target, blended
from sparsenas.data.transforms import cut_in
from sparsenas.errors import UserError
from sparsenas.nn.auxiliary_head import Outputs
from sparsenas.objectives import Classification
from sparsenas.training.loss import training_loss
from sparsenas.training.recipe import Recipe

sizes = st.integers(2, 9)


def batch(count: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Images of one number each, so that it shows whose a pixel is, and labels."""
    x = torch.arange(1.0, count + 1).view(-1, 1, 1, 1).expand(count, 3, height, width)
    return x.contiguous(memory_format=torch.channels_last), torch.arange(count) % 4


@given(seeds, sizes, sizes, sizes, st.floats(0.1, 5))
def test_mixup_mixes_each_image_with_one_other(seed: int, count: int, height: int, width: int, alpha: float) -> None:
    x, labels = batch(count, height, width)
    torch.manual_seed(seed)
    y, (own, others, share) = blended(x, labels, alpha, 0)
    assert others is not None
    assert 0 <= share <= 1
    for i in range(count):
        expected = share * x[i] + (1 - share) * x[i - 1]
        assert torch.allclose(y[i], expected, atol=1e-5)
        assert (own[i], others[i]) == (labels[i], labels[i - 1])


@given(seeds, sizes, sizes, sizes, st.floats(0.1, 5))
def test_cutmix_takes_a_box_of_another_image(seed: int, count: int, height: int, width: int, alpha: float) -> None:
    x, labels = batch(count, height, width)
    torch.manual_seed(seed)
    y, (own, others, share) = blended(x, labels, 0, alpha)
    assert others is not None
    for i in range(count):
        foreign = y[i, 0] != x[i, 0]
        assert torch.equal(y[i], torch.where(foreign, x[i - 1], x[i]))
        assert float(foreign.float().mean()) == pytest.approx(1 - share)
        rows, columns = foreign.any(1), foreign.any(0)
        assert torch.equal(foreign, rows[:, None] & columns), "what is cut in is a box"
        assert (own[i], others[i]) == (labels[i], labels[i - 1])


def test_boxes_have_the_area_that_was_drawn() -> None:
    x, _ = batch(2, 64, 64)
    torch.manual_seed(0)
    kept = [cut_in(x, 0.75)[1] for _ in range(200)]
    assert min(kept) == pytest.approx(0.75)
    assert max(kept) > 0.8, "boxes at the edge are cut off"


def test_what_is_drawn_follows_from_the_seed() -> None:
    x, labels = batch(4, 8, 8)
    drawn = []
    for seed in (3, 3, *range(40)):
        torch.manual_seed(seed)
        drawn.append(blended(x, labels, 0.4, 1.0)[0])
    assert torch.equal(drawn[0], drawn[1])
    mixed = [bool((y != y.round()).any()) for y in drawn]
    assert 8 < sum(mixed) < 34, "one or the other"
    assert blended(x, labels, 0, 0)[0] is x
    assert drawn[0].is_contiguous(memory_format=torch.channels_last)


@given(seeds, st.floats(0, 1), st.floats(0, 0.5))
def test_the_loss_counts_both_labels(seed: int, share: float, smoothing: float) -> None:
    torch.manual_seed(seed)
    logits, own, others = torch.randn(5, 4), torch.randint(4, (5,)), torch.randint(4, (5,))
    recipe = Recipe(smoothing=smoothing, auxiliary=0.5)
    soft = share * F.one_hot(own, 4) + (1 - share) * F.one_hot(others, 4)
    soft = (1 - smoothing) * soft + smoothing / 4
    expected = -(soft * logits.log_softmax(1)).sum(1).mean()
    assert torch.allclose(
        training_loss(Classification(4), recipe, logits, Target(own, others, share)), expected, atol=1e-5
    )
    both = training_loss(Classification(4), recipe, Outputs(logits, logits), Target(own, others, share))
    assert torch.allclose(both, 1.5 * expected, atol=1e-5)


@pytest.mark.parametrize("flag", ["mixup", "cutmix"])
def test_wrong_flags(flag: str) -> None:
    with pytest.raises(UserError, match=f"{flag}: expected >= 0"):
        Recipe(**{flag: -0.5})
