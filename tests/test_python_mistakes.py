"""Wrong arguments of the functions of Python: ``UserError`` naming the argument, before anything is written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import sparsenas
from sparsenas import Join, UserError


def net() -> nn.Module:
    return nn.Sequential(Join.of("a", {"l": nn.Linear(3, 3), "skip": nn.Identity()}), nn.Linear(3, 1))


X = torch.linspace(-1, 1, 60).view(20, 3)
WRONG: dict[str, tuple[Mapping[str, Any], str]] = {
    "budget of a number": ({"budget": 3}, "budget '3': expected COST<=NUMBER"),
    "budget of none": ({"budget": None}, "budget: expected text"),
    "budget of a share": ({"budget": "flops<=0.5"}, "budget .* 12 flops; a share of .* is written flops<=50%"),
    "recipe of a number": ({"search": 3}, "search: expected a Recipe or a dictionary, got int"),
    "half an epoch": ({"search": {"epochs": 1.5}}, "search.epochs: expected an integer, got 1.5"),
    "half an epoch in a recipe": (
        {"search": sparsenas.Recipe(epochs=1.5)},
        "search.epochs: expected an integer, got 1.5",
    ),  # type: ignore[arg-type]
    "no rate": ({"search": {"lr": None}}, "search.lr: expected a number"),
    "a class": ({"search": {"optimizer": torch.optim.AdamW}}, "search.optimizer: expected text"),
    "a list of devices": ({"devices": [0]}, "devices: expected text"),
    "yes": ({"resume": "yes"}, "resume: expected true or false, got yes"),
    "no folder": ({"out": None}, "out: expected"),
    "seed": ({"seed": "a"}, "seed: expected an integer, got a"),
}


@pytest.mark.parametrize("name", WRONG)
def test_arguments_of_other_types_are_told(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    given, told = WRONG[name]
    with pytest.raises(UserError, match="^" + told.replace("'", ".")):
        sparsenas.search(net(), (X, X[:, :1]), objective="regression", **given)
    assert not any(tmp_path.iterdir())


def test_an_object_is_named_by_its_class(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^data \(tuple\): expected "):
        sparsenas.search(net(), (X, X[:5, :1]), objective="regression", out=tmp_path / "out")


def test_numbers_of_numpy_and_tuples_are_taken(tmp_path: Path) -> None:
    found = sparsenas.search(
        net(),
        (X, X[:, :1]),
        objective="regression",
        method="random",
        budget=("params<=100",),  # type: ignore[arg-type]
        search={"epochs": np.int64(1), "lr": np.float32(0.1)},
        seed=np.int64(3),
        out=tmp_path / "out",
    )
    assert found.costs["params"] <= 100


@pytest.mark.parametrize(("function", "told"), [(sparsenas.retrain, "int"), (sparsenas.export, "int")])
def test_what_is_no_folder_is_told(function: Any, told: str) -> None:
    with pytest.raises(UserError, match=f"expected a run folder, or what a search returned, got {told}"):
        function(3)


@pytest.mark.parametrize("score", [3, lambda one: float("nan"), lambda one: None])
def test_a_score_that_is_no_number_is_told(score: Any) -> None:
    with pytest.raises(UserError, match="score: expected a"):
        sparsenas.evolve(net(), score=score, example=X)


def test_a_method_needs_a_network() -> None:
    with pytest.raises(UserError, match="expected a network with choices, got int"):
        sparsenas.method("spos", 3, X)  # type: ignore[arg-type]
