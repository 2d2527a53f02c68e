"""Metrics are sums that add up over batches; each equals what a slow, obvious count gives."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from sparsenas.errors import UserError
from sparsenas.objectives import Classification, LossObjective, Metrics, Multilabel, Objective, Regression, Segmentation

SIZES = st.lists(st.integers(1, 12), min_size=1, max_size=4)
SEEDS = st.integers(0, 100)


def classified(n: int) -> tuple[Tensor, Tensor]:
    return torch.randn(n, 7), torch.randint(7, (n,))


def labelled(n: int) -> tuple[Tensor, Tensor]:
    return torch.randn(n, 5), torch.randint(2, (n, 5))


def segmented(n: int) -> tuple[Tensor, Tensor]:
    return torch.randn(n, 4, 3, 5), torch.tensor([0, 1, 2, 3, 255])[torch.randint(5, (n, 3, 5))]


def measured(n: int) -> tuple[Tensor, Tensor]:
    return torch.randn(n, 2), torch.randn(n, 2)


def slow_classification(output: Tensor, target: Tensor) -> Metrics:
    hits = sum(int(x.argmax() == y) for x, y in zip(output, target, strict=True))
    return {"accuracy": hits / len(target), "loss": float(F.cross_entropy(output.double(), target))}


def slow_multilabel(output: Tensor, target: Tensor) -> Metrics:
    rows = [((x > 0).tolist(), (y > 0).tolist()) for x, y in zip(output, target, strict=True)]
    pairs = [pair for row in rows for pair in zip(*row, strict=True)]
    hits = sum(p and t for p, t in pairs)
    wrong = sum(p != t for p, t in pairs)
    loss = F.binary_cross_entropy(output.double().sigmoid(), target.double())
    f1 = 2 * hits / (2 * hits + wrong) if hits + wrong else 0.0
    return {"f1": f1, "exact": sum(p == t for p, t in rows) / len(rows), "loss": float(loss)}


def slow_segmentation(output: Tensor, target: Tensor) -> Metrics:
    pixels = [
        (int(output[n, :, i, j].argmax()), int(target[n, i, j]))
        for n in range(len(target)) for i in range(3) for j in range(5) if target[n, i, j] != 255
    ]  # fmt: skip
    shares = []
    for c in range(4):
        both, either = sum(p == t == c for p, t in pixels), sum(c in pair for pair in pixels)
        shares += [both / either] if either else []
    loss = F.cross_entropy(output.double(), target, ignore_index=255)
    right = sum(p == t for p, t in pixels)
    return {"mean_iou": sum(shares) / len(shares), "pixel_accuracy": right / len(pixels), "loss": float(loss)}


def slow_regression(output: Tensor, target: Tensor) -> Metrics:
    error = (output - target).double()
    variance = float(((target - target.mean(0)) ** 2).sum())
    squared = float((error**2).sum())
    r2 = 1 - squared / variance if variance > 1e-12 else 0.0
    mse = squared / error.numel()
    return {"rmse": mse**0.5, "mae": float(error.abs().mean()), "r2": r2, "loss": mse}


CASES = {
    "classification": (Classification(7), classified, slow_classification),
    "multilabel": (Multilabel(5), labelled, slow_multilabel),
    "segmentation": (Segmentation(4), segmented, slow_segmentation),
    "regression": (Regression(2), measured, slow_regression),
}
every_objective = pytest.mark.parametrize("name", CASES)


@every_objective
@given(SIZES, SEEDS)
def test_sums_of_batches_give_the_metrics_of_all_examples(name: str, sizes: list[int], seed: int) -> None:
    torch.manual_seed(seed)
    objective, make, slow = CASES[name]
    output, target = make(sum(sizes) + 1)
    output.requires_grad_(True)
    if name == "segmentation" and bool((target == 255).all()):
        target[0, 0, 0] = 1
    parts = zip(output.split([*sizes, 1]), target.split([*sizes, 1]), strict=True)
    sums = torch.stack([objective.sums(*part) for part in parts])
    assert not sums.requires_grad
    expected = slow(output.detach(), target)
    assert objective.result(sums.sum(0)) == pytest.approx(expected, rel=1e-5, abs=1e-6)
    assert objective.higher | {"loss", "rmse", "mae"} >= expected.keys()


@every_objective
def test_the_best_output_has_the_best_score(name: str) -> None:
    torch.manual_seed(0)
    objective, make, _ = CASES[name]
    output, target = make(9)
    perfect = {
        "classification": lambda: F.one_hot(target, 7) * 20.0,
        "multilabel": lambda: target * 40.0 - 20,
        "segmentation": lambda: F.one_hot(target.clamp(max=3), 4).movedim(-1, 1) * 20.0,
        "regression": lambda: target,
    }[name]()
    best, other = (objective.result(objective.sums(x, target)) for x in (perfect, output))
    assert objective.oriented(objective.score, best[objective.score]) > objective.oriented(
        objective.score, other[objective.score]
    )
    assert best["loss"] < other["loss"]
    assert all(best[share] == 1.0 for share in objective.shares)
    objective.check(perfect, target)


@every_objective
def test_equal_predictions(name: str) -> None:
    torch.manual_seed(0)
    objective, make, _ = CASES[name]
    output, _ = make(9)
    assert objective.same(output, output * (1 + 1e-6)) == 9
    assert objective.same(output, -output) < 9


@every_objective
def test_a_pupil_learns_from_the_output_of_its_teacher(name: str) -> None:
    torch.manual_seed(0)
    objective, make, _ = CASES[name]
    output, teacher = make(9)[0].requires_grad_(True), make(9)[0]
    objective.distillation(output, teacher).backward()
    assert output.grad is not None
    before = float(objective.distillation(output.detach(), teacher))
    assert float(objective.distillation((output - 0.1 * output.grad).detach(), teacher)) < before


def test_smoothed_labels() -> None:
    logits, target = torch.randn(6, 4), torch.tensor([0, 1, 2, 3, 0, 1])
    expected = F.cross_entropy(logits, target, label_smoothing=0.1)
    assert torch.equal(Classification(4).training_loss(logits, target, 0.1), expected)
    grid = logits[:, :, None, None].expand(6, 4, 2, 2)
    smoothed = Segmentation(4).training_loss(grid, target[:, None, None].expand(6, 2, 2), 0.1)
    torch.testing.assert_close(smoothed, expected)
    soft = F.one_hot(target, 4) * 0.9 + 0.05
    expected = F.binary_cross_entropy_with_logits(logits, soft)
    torch.testing.assert_close(Multilabel(4).training_loss(logits, F.one_hot(target, 4), 0.1), expected)


def test_confusion_counts_every_example_once() -> None:
    torch.manual_seed(0)
    output, target = classified(50)
    slow = torch.zeros(7, 7, dtype=torch.long)
    for x, y in zip(output, target, strict=True):
        slow[y, x.argmax()] += 1
    assert torch.equal(Classification(7).confusion(output, target), slow)  # type: ignore[arg-type]
    assert Classification(101).confusion(torch.randn(2, 101), target[:2]) is None
    counted = Segmentation(4).confusion(*segmented(6))
    assert counted is not None
    assert counted.shape == (4, 4)


def test_a_loss_alone_is_an_objective() -> None:
    objective = LossObjective(lambda output, target: (output - target).abs().mean())
    output, target = torch.tensor([[1.0], [2.0], [6.0]]), torch.zeros(3, 1)
    sums = objective.sums(output[:1], target[:1]) + objective.sums(output[1:], target[1:])
    assert objective.result(sums) == {"loss": pytest.approx(3.0)}
    assert objective.oriented(objective.score, 3.0) == -3.0


WRONG: list[tuple[Objective, object, Tensor, str]] = [
    (Classification(3), torch.randn(2, 4), torch.tensor([0, 1]), r"\(examples, classes\) = \(2, 3\), got \(2, 4\)"),
    (Classification(3), (torch.randn(2, 3),) * 2, torch.tensor([0, 1]), "got a tuple of 2"),
    (Classification(3), {"out": torch.randn(2, 3)}, torch.tensor([0, 1]), "got a dict of 1"),
    (Classification(3), torch.randn(2, 3, 4, 4), torch.tensor([0, 1]), r"got \(2, 3, 4, 4\)"),
    (Classification(3), torch.randn(2, 3), torch.tensor([0, 3]), "class numbers from 0 to 2 as targets, got 3"),
    (Classification(3), torch.randn(2, 3), torch.tensor([-1, 0]), "got -1"),
    (Classification(3), torch.randn(2, 3), torch.tensor([0.0, 1.0]), "got torch.float32"),
    (Classification(3), torch.randn(2, 3), torch.eye(3)[:2], "one-hot"),
    (Multilabel(3), torch.randn(2, 3), torch.tensor([0, 1]), r"targets of shape \(examples, labels\), got \(2,\)"),
    (Multilabel(3), torch.randn(2, 3), torch.full((2, 3), 2), "targets 0 or 1, got 2"),
    (Segmentation(3), torch.randn(2, 3, 4, 4), torch.zeros(2, 5, 5, dtype=torch.long), r"got \(2, 3, 4, 4\)"),
    (Segmentation(3), torch.randn(2, 3), torch.tensor([0, 1]), "for every pixel"),
    (Segmentation(3), torch.randn(1, 3, 1, 1), torch.tensor([[[3]]]), "got 3"),
    (Regression(), torch.randn(2, 2), torch.randn(2), r"= \(2, 1\), got \(2, 2\)"),
    (Regression(), torch.randn(2, 1), torch.tensor([0, 1]), "targets of real numbers, got torch.int64"),
    (Regression(), torch.randn(2, 1), torch.tensor([0.0, float("nan")]), "finite targets"),
]  # fmt: skip


@pytest.mark.parametrize(("objective", "output", "target", "told"), WRONG)
def test_what_does_not_fit_is_told(objective: Objective, output: object, target: Tensor, told: str) -> None:
    with pytest.raises(UserError, match=told) as caught:
        objective.check(output, target)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64])
def test_class_numbers_may_be_of_any_whole_type(dtype: torch.dtype) -> None:
    output, target = classified(8)
    objective = Classification(7)
    objective.check(output, target.to(dtype))
    assert torch.equal(objective.sums(output, target.to(dtype)), objective.sums(output, target))
    assert torch.equal(objective.loss(output, target.to(dtype)), objective.loss(output, target))


def test_one_number_may_be_a_row_or_not() -> None:
    output, target = torch.randn(5, 1), torch.randn(5)
    for x, y in ((output, target), (output[:, 0], target), (output[:, 0], target[:, None])):
        Regression().check(x, y)
        assert torch.equal(Regression().sums(x, y), Regression().sums(output, target[:, None]))
