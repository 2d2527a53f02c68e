"""A network in memory as the teacher of the retraining."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import sparsenas
from sparsenas import Join, UserError
from sparsenas.__main__ import main
from sparsenas.job.distillation import make_teacher
from sparsenas.job.folder import open_task
from sparsenas.rundir.config import read_config
from sparsenas.rundir.folder import Run
from sparsenas.training.recipe import Recipe

QUICK: dict[str, Any] = {
    "method": {"name": "spos", "generations": 0},
    "search": {"epochs": 1},
    "score": {"calibration": 16},
    "threads": 1,
    "accelerator": "cpu",
    "baselines": 0,
    "objective": "regression",
}


def space() -> nn.Module:
    return nn.Sequential(
        nn.Linear(6, 8),
        Join.of("hidden", {"linear": nn.Linear(8, 8), "skip": nn.Identity()}),
        nn.ReLU(),
        nn.Linear(8, 1),
    )


class Teacher(nn.Module):
    """Its output depends on the mode, and tells when it ran in which."""

    modes: tuple[bool, ...] = ()

    def __init__(self, outputs: int = 1) -> None:
        super().__init__()
        self.norm, self.layer, self.drop = nn.BatchNorm1d(6), nn.Linear(6, outputs), nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        Teacher.modes += (self.training or torch.is_grad_enabled(),)
        out: Tensor = self.drop(self.layer(self.norm(x)))
        return out


@pytest.fixture(scope="module")
def data() -> tuple[Tensor, Tensor]:
    x = torch.randn(120, 6, generator=torch.Generator().manual_seed(0))
    return x, x.sum(1, keepdim=True)


@pytest.mark.usefixtures("unexported")
def test_a_network_in_memory_teaches(
    data: tuple[Tensor, Tensor], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    teacher, out = Teacher().train(), tmp_path / "run"
    before = copy.deepcopy(teacher.state_dict())
    Teacher.modes = ()
    given = {**QUICK, "out": out, "retrain": {"epochs": 2, "distill_weight": 0.9}}
    found = sparsenas.run(space, data, teacher=teacher, **given)
    taught = (out / "net.pt").read_bytes()
    assert teacher.training
    assert all(parameter.requires_grad for parameter in teacher.parameters())
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())
    assert set(Teacher.modes) == {False}
    assert read_config(Run(out))["retrain"]["distill"] == "object:Teacher"

    sparsenas.retrain(found, retrain={"epochs": 2, "distill_weight": 0.9})
    assert (out / "net.pt").read_bytes() != taught
    sparsenas.retrain(found, teacher=teacher, retrain={"epochs": 2, "distill_weight": 0.9})
    assert (out / "net.pt").read_bytes() == taught

    capsys.readouterr()
    assert main(["run", "--resume", "--out", str(out), "--trust-plugins=test_teacher:space"]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    with pytest.raises(UserError, match="distill"):
        sparsenas.run(space, data, resume=True, **given)
    sparsenas.run(space, data, teacher=teacher, resume=True, **given)
    assert (out / "net.pt").read_bytes() == taught

    opened = open_task(out, torch.device("cpu"), objects=found.objects)
    recipe = Recipe(distill="object:Teacher")
    made: Any = make_teacher(recipe, opened.run, opened.task, opened.flags.score, teacher)
    assert torch.equal(made(data[0]), copy.deepcopy(teacher).eval()(data[0]))
    with pytest.raises(UserError, match=r"an object of Python .*go on from Python, with teacher=net"):
        make_teacher(recipe, opened.run, opened.task, opened.flags.score)


@pytest.mark.parametrize(
    ("teacher", "retrain", "told"),
    [
        (Teacher(3), {}, "does not fit the data"),
        (nn.Linear(5, 1), {}, "does not fit the data"),
        (lambda x: x, {}, "teacher: expected an nn.Module, got function"),
        (Teacher(), {"distill": "largest"}, "teacher: expected none beside retrain.distill, got largest"),
        (None, {"distill": "object:Teacher"}, "an object of Python"),
    ],
)
def test_other_teachers_are_refused_before_any_training(
    teacher: Any, retrain: dict[str, Any], told: str, data: tuple[Tensor, Tensor], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=told):
        sparsenas.run(space, data, teacher=teacher, out=tmp_path / "run", retrain=retrain, **QUICK)
    assert not (tmp_path / "run").exists()
