"""Who teaches: the ends of a space, teachers of the user's, and what is refused before anything is written."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from sparsenas.__main__ import main
from sparsenas.core.arch import Arch
from sparsenas.core.gate import choices
from sparsenas.core.join import Join
from sparsenas.core.quant_choice import QuantConv2d
from sparsenas.costs import CostTable
from sparsenas.costs.ends import SIZES, smallest_and_largest
from sparsenas.job.distillation import make_teacher
from sparsenas.job.folder import open_task
from sparsenas.job.trained import inherited
from sparsenas.nn.recalibration import recalibrate
from sparsenas.training.recipe import Recipe

SHORT = ["--threads=1", "--accelerator=cpu", "--search.epochs=1", "--retrain.epochs=1", "--baselines=0"]
TINY = ["--space.width=4", "--space.blocks=2", "--method.generations=0"]


def tied() -> nn.Module:
    """Three layers of equal multiply-adds, of which one has more parameters, and two bit widths."""
    plain, biased = nn.Conv2d(4, 4, 1, bias=False), nn.Conv2d(4, 4, 1)
    first = Join.of("first", {"plain": plain, "biased": biased, "same": nn.Conv2d(4, 4, 1, bias=False)})
    bits = QuantConv2d(4, 4, 1, (2, 4), bias=False)
    last = Join.of("last", {"skip": nn.Identity(), "none": nn.Dropout(0.0)})
    return nn.Sequential(first, bits, last)


def test_ties_are_decided_by_the_next_cost() -> None:
    table = CostTable(tied(), (4, 5, 5))
    options = choices(table.net)
    every = [
        Arch(options, dict(zip(options, picks, strict=True)))
        for picks in itertools.product(*(choice.every() for choice in options.values()))
    ]
    costs = [tuple(table.exact(arch)[name] for name in SIZES) for arch in every]
    smallest, largest = (tuple(table.exact(arch)[name] for name in SIZES) for arch in smallest_and_largest(table))
    assert (smallest, largest) == (min(costs), max(costs))
    assert smallest[0] == largest[0]
    assert smallest[1:] < largest[1:]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("distilled") / "run"
    flags = [*SHORT, *TINY, "--retrain.distill=largest", "--search.distill=sandwich", "--out", str(out)]
    assert main(["run", *flags, "--budget", "flops<=20e3"]) == 0
    out.with_name("taught.pt").write_bytes((out / "net.pt").read_bytes())
    out.with_name("teacher.pt2").write_bytes((out / "net.pt2").read_bytes())
    return out


def test_the_largest_network_teaches_recalibrated_and_in_eval_mode(run: Path) -> None:
    opened = open_task(run, torch.device("cpu"), [])
    teacher: Any = make_teacher(Recipe(distill="largest"), opened.run, opened.task, opened.flags.score)
    net = teacher.args[0]
    _, largest = smallest_and_largest(opened.task.limits.table)
    assert not opened.task.limits.legal([largest])[0]
    expected = inherited(opened.run, opened.task, largest)
    recalibrate(expected, opened.task.eval_batches(opened.flags.score).calibration)
    assert not net.training
    assert any(isinstance(module, nn.BatchNorm2d) for module in net.modules())
    for name, value in expected.state_dict().items():
        assert torch.equal(net.state_dict()[name], value), name


TEACHERS = """
from torch import nn
def fits(): return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
def seven(): return nn.Sequential(nn.Flatten(), nn.Linear(64, 7))
def number(): return 7
def sign():
    open("called", "w").close()
    return fits()
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "teachers_here.py").write_text(TEACHERS)
    return tmp_path


@pytest.mark.parametrize("teacher", ["teachers_here:fits", "teacher.pt2", "largest"])
def test_teachers_teach(teacher: str, run: Path, here: Path) -> None:
    teacher = str(run.with_name(teacher)) if teacher.endswith("pt2") else teacher
    before = run.with_name("taught.pt").read_bytes()
    assert main(["retrain", str(run), *SHORT[:2], "--retrain.epochs=1", f"--retrain.distill={teacher}"]) == 0
    taught = (run / "net.pt").read_bytes()
    assert main(["retrain", str(run), *SHORT[:2], "--retrain.epochs=1"]) == 0
    assert taught != (run / "net.pt").read_bytes()
    assert (taught == before) == (teacher == "largest")


@pytest.mark.parametrize(
    ("teacher", "told"),
    [
        ("teachers_here:seven", "does not fit the data: .*got (2, 7)"),
        ("teachers_here:number", "expected a function that returns a network, got int"),
        ("teachers_here:nobody", "found no 'nobody'"),
        ("nowhere.pt2", "expected a file of torch.export, got nowhere.pt2"),
        ("damaged.pt2", "damaged.pt2: expected a network of torch.export, got"),
        (
            "sandwich",
            "--retrain.distill: expected largest, original, FILE.pt2 or package.module:callable, got sandwich",
        ),
    ],
)
def test_other_teachers_are_refused(
    teacher: str, told: str, run: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "damaged.pt2").write_text("no archive")
    before = {path: path.read_bytes() for path in run.iterdir()}
    assert main(["retrain", str(run), *SHORT[:2], f"--retrain.distill={teacher}"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert all(part in error for part in told.split(".*"))
    assert {path: path.read_bytes() for path in run.iterdir()} == before
    assert main(["run", *SHORT, *TINY, "--out=new", f"--retrain.distill={teacher}"]) == 2
    assert not (here / "new").exists()


@pytest.mark.parametrize(
    "flags",
    [
        ["--search.distill=largest"],
        ["--search.distill=sandwich", "--method=ista", "--data.val_share=0.5"],
        ["--search.distill=sandwich", "--method=ista_one_stage"],
        ["--retrain.distill=largest", "--method=ista", "--data.val_share=0.5"],
    ],
)
def test_methods_that_learn_are_not_distilled(flags: list[str], here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", *SHORT, "--space.width=4", "--space.blocks=2", "--out=new", *flags]) == 2
    assert flags[0].partition("=")[0] in capsys.readouterr().err
    assert not (here / "new").exists()


@pytest.mark.usefixtures("unexported")
def test_a_folder_names_no_teacher_that_is_not_trusted(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = [*SHORT, *TINY, "--out=new"]
    assert main(["run", *flags, "--retrain.distill=teachers_here:sign"]) == 0
    (here / "called").unlink()
    assert main(["run", "--out=new", "--resume"]) == 2
    assert "add --trust-plugins teachers_here:sign" in capsys.readouterr().err
    assert not (here / "called").exists()
    assert main(["run", "--out=new", "--resume", "--trust-plugins=teachers_here:sign"]) == 0
    assert (here / "called").exists()
