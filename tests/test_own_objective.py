"""Mistakes in an objective of one's own are one line before any training; what is right runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import sparsenas
from sparsenas import Join, Objective, UserError
from sparsenas.__main__ import main

X, Y = torch.linspace(-1, 1, 120).view(40, 3), torch.arange(40) % 4
QUICK: dict[str, Any] = {
    "search": {"epochs": 1},
    "score": {"calibration": 0},
    "method": {"name": "random", "evaluations": 2},
    "accelerator": "cpu",
    "threads": 1,
}


def net(classes: int) -> nn.Module:
    return nn.Sequential(Join.of("a", {"l": nn.Linear(3, 3), "skip": nn.Identity()}), nn.Linear(3, classes))


def hits(output: Tensor, target: Tensor) -> Tensor:
    return (output.argmax(1) == target).sum()[None]


def own(**changes: Any) -> Objective:
    """A right objective with some attributes or methods replaced."""

    def loss(self: Any, output: Tensor, target: Tensor) -> Tensor:
        return cross_entropy(output, target)

    def metrics(self: Any, counts: Tensor, examples: float) -> Any:
        return {"hits": counts[0] / examples}

    right = {"loss": loss, "counts": lambda self, output, target: hits(output, target), "metrics": metrics}
    given = {"score": "hits", "higher": frozenset({"hits"}), "shares": frozenset({"hits"})}
    made: Objective = type("Own", (Objective,), {**right, **given, **changes})()
    return made


def returning(loss: Callable[[Tensor], Any]) -> Callable[[Any, Tensor, Tensor], Any]:
    return lambda self, output, target: loss(cross_entropy(output, target, reduction="none"))


LOSS = "objective: expected loss\\(\\) to return one number with a gradient, a tensor of shape \\(\\), got "
METRICS = "objective: expected metrics\\(\\) to return numbers by name"
COUNTS = "objective: expected counts\\(\\) to return a tensor of shape \\(numbers,\\), sums over the batch, got "
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "per example": ({"loss": returning(lambda each: each)}, LOSS + "one of shape \\(4,\\); take the mean"),
    "of shape 1": ({"loss": returning(lambda each: each.mean()[None])}, LOSS + "one of shape \\(1,\\)"),
    "a float": ({"loss": returning(lambda each: each.mean().item())}, LOSS + "float"),
    "detached": ({"loss": returning(lambda each: each.mean().detach())}, LOSS + "a tensor without gradient"),
    "a tuple": ({"loss": returning(lambda each: (each.mean(), each))}, LOSS + "a tuple of 2"),
    "nothing": ({"loss": returning(lambda each: None)}, LOSS + "NoneType"),
    "a sum": ({"loss": returning(lambda each: each.sum())}, "objective: expected loss.. to return the mean .*the sum"),
    "nan": ({"loss": returning(lambda each: each.mean() * torch.nan)}, ".*expected a finite loss"),
    "text": ({"metrics": lambda self, counts, examples: {"hits": "x"}}, METRICS + ", got 'x' as hits"),
    "a list": ({"metrics": lambda self, counts, examples: [1.0]}, METRICS + ", got a list of 1"),
    "a number as name": ({"metrics": lambda self, counts, examples: {1: 1.0}}, METRICS + ", got the name 1"),
    "the loss": ({"metrics": lambda self, counts, examples: {"loss": 1.0}}, METRICS + " besides loss"),
    "raising": ({"metrics": lambda self, counts, examples: 1 / 0}, ".*the metrics: ZeroDivisionError"),
    "other score": ({"score": "acc"}, "objective: expected score of Own to name its metrics, hits, loss, got 'acc'"),
    "other better": ({"higher": frozenset({"acc"})}, "objective: expected higher of Own to name its metrics"),
    "letters": ({"higher": "hits"}, "objective: expected higher of Own to be a set of metrics, got 'hits'"),
    "scalar": ({"counts": lambda self, output, target: hits(output, target)[0]}, COUNTS + "one of shape \\(\\)"),
    "each": ({"counts": lambda self, output, target: output.argmax(1) == target}, COUNTS + "one of shape \\(8,\\)"),
    "counts in a list": ({"counts": lambda self, output, target: [1.0]}, COUNTS + "a list of 1"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_mistake_is_one_line_before_any_training(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    changes, told = WRONG[name]
    with pytest.raises(UserError, match=f"^{told}") as error:
        sparsenas.search(net, (X, Y), objective=own(**changes), out="out", **QUICK)
    assert "\n" not in str(error.value)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    "objective",
    [own(), cross_entropy, nn.CrossEntropyLoss(), lambda output, target: cross_entropy(output, target)],
    ids=["tensors as metrics", "function", "module", "lambda"],
)
def test_the_network_has_an_output_for_each_class(objective: Any, tmp_path: Path) -> None:
    found = sparsenas.search(net, (X, Y), objective=objective, out=tmp_path / "out", **QUICK)
    assert found.network()(X).shape == (40, 4)
    assert found.val is not None


def test_an_unknown_metric_to_compare_by_is_told_before_the_training(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="^score.by: expected one of accuracy, loss, got f1"):
        sparsenas.search(net, (X, Y), out=tmp_path / "out", **{**QUICK, "score": {"calibration": 0, "by": "f1"}})
    assert not any(tmp_path.iterdir())


def broken(layer: Any) -> Any:
    raise KeyError(layer.op)


def nameless(layer: Any) -> Any:
    return "much"


def endless(layer: Any) -> float:
    return float("inf")


@pytest.mark.parametrize("cost", [broken, nameless, endless], ids=lambda cost: cost.__name__)
def test_a_cost_that_fails_is_one_line(cost: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"^cost {cost.__name__}: expected a (finite )?number, got "):
        sparsenas.search(net, (X, Y), cost=cost, budget=f"{cost.__name__}<=1", out=tmp_path / "out", **QUICK)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("part", ["train", "val", "test"])
def test_inputs_that_are_not_finite_are_told_with_their_example(part: str, tmp_path: Path) -> None:
    parts = {name: (X.clone(), Y) for name in ("train", "val", "test")}
    parts[part][0][30, 1] = torch.nan
    with pytest.raises(UserError, match=r"^data: expected finite inputs, got NaN or infinity \(example 30 of the "):
        sparsenas.search(net, parts, out=tmp_path / "out", **QUICK)
    assert not any(tmp_path.iterdir())


class Filling(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.nan_to_num()


def test_a_network_may_make_numbers_of_nan(tmp_path: Path) -> None:
    x = X.clone()
    x[::3] = torch.nan
    found = sparsenas.search(
        lambda classes: nn.Sequential(Filling(), net(classes)), (x, Y), out=tmp_path / "o", **QUICK
    )
    assert found.val is not None


class Late(torch.utils.data.Dataset[tuple[Tensor, int]]):
    """One of its examples is not finite."""

    targets = Y

    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        return (X[i] if i != 25 else X[i] * torch.inf), int(Y[i])


def test_a_loss_that_is_not_finite_is_blamed_on_the_example(tmp_path: Path) -> None:
    data = {"train": Late(), "val": (X, Y), "test": (X, Y)}
    with pytest.raises(UserError, match="supernet: the loss became .*; the input of example 25 has NaN or infinity"):
        sparsenas.search(net, data, out=tmp_path / "out", **QUICK)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_inputs_of_other_precision_are_taken(kind: torch.dtype, tmp_path: Path) -> None:
    assert sparsenas.search(net, (X.to(kind), Y), out=tmp_path / "out", **QUICK).val is not None


def test_a_mistake_of_a_step_or_of_gates_is_told() -> None:
    space = net(4)
    method = sparsenas.method("spos", space, X[:2])
    with pytest.raises(UserError, match="^step: expected a network with choices and a sparsenas.Method, got Spos, Seq"):
        sparsenas.step(method, space).__enter__()  # type: ignore[arg-type]
    with pytest.raises(UserError, match="^step: expected a network with choices"):
        sparsenas.step(nn.Linear(3, 3), method).__enter__()
    arch = sparsenas.Arch.from_json(sparsenas.choices(space), {"a": ["skip"]})
    with pytest.raises(UserError, match="^gates: expected a Gate for 'a', got .*; gates.. of an Arch makes them"):
        sparsenas.set_gates(space, dict(arch))  # type: ignore[arg-type]
    assert torch.equal(sparsenas.derive(space, arch)(X), sparsenas.derive(space, arch.gates())(X))


def shaped(shape: tuple[int, int, int], classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(shape[1] * shape[2], 3), net(classes))


def test_a_space_has_the_shape_of_the_data_without_a_default(tmp_path: Path) -> None:
    quick = ["--search.epochs=1", "--method=random", "--method.evaluations=2", "--accelerator=cpu", "--threads=1"]
    assert main(["search", f"--space={__name__}:shaped", *quick, f"--out={tmp_path / 'out'}"]) == 0
    assert main(["cost", f"--space={__name__}:shaped"]) == 2
