"""What a user brings is tried before any work: the right result, or one line, exit code 2 and nothing left behind."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from sparsenas.__main__ import main
from sparsenas.core.arch import Arch
from sparsenas.core.gate import set_gates
from sparsenas.errors import UserError
from sparsenas.job.plugin import Plugin
from sparsenas.job.task import Task, make_task
from sparsenas.rundir.folder import Run
from sparsenas.rundir.results import results

MODULE = """
import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset
from sparsenas import Join
from sparsenas.data import Data, Split

def choice(kind=nn.Conv2d):
    return Join.of("a", {"c3": kind(4, 4, 3), "c1": kind(4, 4, 1)})

def layers(classes, inputs=1, kind=nn.Conv2d, pool=nn.AdaptiveAvgPool2d):
    return nn.Sequential(kind(inputs, 4, 3), choice(kind), pool(1), nn.Flatten(), nn.Linear(4, classes))

class Net(nn.Module):
    def __init__(self, classes: int = 10, width: int = 4):
        super().__init__()
        self.net = layers(classes)
    def forward(self, x): return self.net(x)

def changed(forward, wrap=lambda net: net):
    class Changed(Net):
        pass
    Changed.forward = forward
    return lambda: wrap(Changed())

seven, thousand = (lambda: layers(7)), (lambda: layers(1000))
color = lambda classes: layers(classes, 3)
two_heads = changed(lambda self, x: (self.net(x), self.net(x)))
dictionary = changed(lambda self, x: {"logits": self.net(x)})
maps = lambda: nn.Sequential(nn.Conv2d(1, 4, 3), choice(), nn.Conv2d(4, 10, 1))
squeezed = changed(lambda self, x: self.net(x).squeeze())
nan = changed(lambda self, x: self.net(x) / 0 * 0)
detached = changed(lambda self, x: self.net(x).detach())
large = lambda: nn.Sequential(nn.Conv2d(1, 4, 11), *layers(10, 4))
double = changed(lambda self, x: self.net(x), lambda net: net.double())
volumes = lambda classes: layers(classes, kind=nn.Conv3d, pool=nn.AdaptiveAvgPool3d)
scripted = lambda: nn.Sequential(torch.jit.script(nn.Identity()), *layers(10))
lazy = lambda: nn.Sequential(nn.LazyConv2d(1, 1), *layers(10))
norm = lambda: nn.Sequential(
    nn.Conv2d(1, 4, 3), choice(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.BatchNorm1d(4), nn.Linear(4, 10)
)

norm_of_three = lambda: nn.Sequential(nn.Conv2d(3, 1, 1), *list(norm())[:-1], nn.Linear(4, 3))

class Raises(Net):
    def forward(self, x):
        raise ValueError("no such\\nthing")

class View(nn.Module):
    def __init__(self):
        super().__init__()
        pair = {"c3": nn.Conv2d(8, 8, 3, padding=1), "c1": nn.Conv2d(8, 8, 1)}
        self.body, self.head = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), Join.of("a", pair)), nn.Linear(512, 10)
    def forward(self, x):
        x = self.body(x)
        return self.head(x.view(x.size(0), -1))

def pixels(count, channels=3):
    return torch.randint(0, 255, (count, channels, 8, 8), generator=torch.Generator().manual_seed(0)).to(torch.uint8)

def data(images=lambda x: x, labels=lambda y: y, train=60, val=30, test=30):
    parts = (Split(images(pixels(count)), labels(torch.arange(count) % 3)) for count in (train, val, test))
    return Data(("a", "b", "c"), *parts, (0.5,) * 3, (0.2,) * 3)

floats = lambda: data(images=lambda x: x / 255)
int32 = lambda: data(labels=lambda y: y.int())
labels_from_1 = lambda: data(labels=lambda y: y + 1)
minus = lambda: data(labels=lambda y: y - 1)
one_hot = lambda: data(labels=lambda y: torch.eye(3)[y])
real = lambda: data(labels=lambda y: y.double())
strings = lambda: (pixels(30), np.array(["cat", "dog"] * 15))
no_train, no_val, no_test = (lambda: data(train=0)), (lambda: data(val=0)), (lambda: data(test=0))
one_val, one_test, one_left = (lambda: data(val=1)), (lambda: data(test=1)), (lambda: data(train=65, val=31, test=501))
few = lambda: data(train=5)
vectors = lambda: (torch.rand(60, 1, 6, 6, 6), torch.arange(60) % 3)
flat = lambda: (torch.rand(60, 5), torch.arange(60) % 3)
line = lambda classes: nn.Sequential(Join.of("a", {"l": nn.Linear(5, 5), "skip": nn.Identity()}), nn.Linear(5, classes))

def holes():
    x = torch.rand(40, 3, 8, 8)
    x[:, 0, 0, 0] = float("nan")
    return x, torch.arange(40) % 3

class Late(Dataset):
    classes = ("a", "b", "c")
    def __len__(self): return 60
    def __getitem__(self, index): return torch.rand(3, 8, 8), 7 if index == self.wrong else index % 3

class LateLabel(Late):
    wrong = 41
"""
SPOS = [
    "--method.population=3", "--method.generations=1", "--method.parents=2", "--method.mutants=1",
    "--method.crossovers=1", "--search.epochs=1", "--accelerator=cpu",
]  # fmt: skip


@pytest.fixture(autouse=True)
def brought(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "brought.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "brought", raising=False)


def task(space: str, data: str = "digits") -> Task:
    given = Plugin(data if data == "digits" else f"brought:{data}")
    return make_task(Plugin(f"brought:{space}"), given, Plugin("classification"), [], 0, torch.device("cpu"))


CLASSES = "--objective classification: expected class numbers from 0 to"
OUTPUT = r"--objective classification: expected one output of shape \(examples, classes\) = "
REFUSED: dict[tuple[str, ...], str] = {
    ("seven",): rf"{OUTPUT}\(4, 10\), got \(4, 7\)",
    ("thousand",): rf"{OUTPUT}\(4, 10\), got \(4, 1000\)",
    ("two_heads",): rf"{OUTPUT}\(4, 10\), got a tuple of 2",
    ("dictionary",): rf"{OUTPUT}\(4, 10\), got a dict of 1",
    ("maps",): rf"{OUTPUT}\(4, 10\), got \(4, 10, [46], [46]\)",
    ("squeezed",): rf"{OUTPUT}\(1, 10\), got \(10,\) \(--space brought:squeezed: architecture ., evaluating 1 inputs\)",
    ("nan",): "--space brought:nan: architecture .: expected a finite loss of the first examples, got nan",
    ("detached",): "--space brought:detached: architecture .: the gradient of the loss: RuntimeError: ",
    ("large",): r"--space brought:large: .* on inputs \[1, 8, 8\]: RuntimeError: .*[Kk]ernel",
    ("color",): r"--space brought:color: .* on inputs \[1, 8, 8\]: RuntimeError: .*expected .* to have 3 channels",
    ("Raises",): r"--space brought:Raises: .*: ValueError: no such \(brought.py, line \d+\)",
    ("lazy",): r"--space brought:lazy: 0 \(LazyConv2d\): expected a layer with a shape",
    ("color", "labels_from_1"): rf"{CLASSES} 2 as targets, got 3 \(example 2 of the training part\)",
    ("color", "minus"): rf"{CLASSES} 2 as targets, got -1 \(example 0 of the training part\)",
    ("color", "one_hot"): "--objective classification: expected one class number per example, got targets of shape",
    (
        "color",
        "real",
    ): "--objective classification: expected class numbers as targets, got torch.float64; --objective ",
    ("color", "strings"): "--data brought:strings: expected numbers, got text: 'cat'",
    ("color", "no_train"): "--data brought:no_train: expected at least one training example, got none",
    ("color", "no_val"): "--data brought:no_val: expected at least one validation example, got none",
    ("color", "no_test"): "--data brought:no_test: expected at least one test example, got none",
    ("color", "holes"): "got nan: the input of training example 0 has NaN or infinity",
}


@pytest.mark.parametrize("case", REFUSED, ids="-".join)
def test_what_does_not_fit_is_one_line(case: tuple[str, ...]) -> None:
    with pytest.raises(UserError, match=REFUSED[case]) as error:
        task(*case)
    assert "\n" not in str(error.value)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*is deprecated:DeprecationWarning")
def test_scripted_modules_are_refused() -> None:
    with pytest.raises(UserError, match="layer '0': expected a module of Python, got a scripted one"):
        task("scripted")


@pytest.mark.parametrize("case", [("two_heads",), ("color", "labels_from_1")], ids="-".join)
def test_a_mistake_leaves_nothing(case: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = [f"--{kind}=brought:{name}" for kind, name in zip(("space", "data"), case, strict=False)]
    assert main(["search", *flags, *SPOS, "--out", str(tmp_path / "out")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("case", [("Net",), ("double",), ("color", "floats"), ("color", "int32")], ids="-".join)
def test_what_fits_is_taken_as_it_is(case: tuple[str, ...]) -> None:
    found = task(*case)
    assert found.data.channels_last
    assert {p.dtype for p in found.network("supernet").parameters()} == {torch.float32}


def test_channels_last_is_given_up_where_the_network_cannot_take_it() -> None:
    found = task("View")
    assert not found.data.channels_last
    net, x = found.network("supernet"), found.data.prepared(found.data.train.example)
    assert all(p.is_contiguous() and p.stride() == torch.empty(p.shape).stride() for p in net.parameters())
    set_gates(net, Arch.sample(found.choices, np.random.default_rng(0)).gates())
    assert net(x).shape == (1, 10)


def test_the_global_generators_are_left_as_they_were() -> None:
    torch.manual_seed(5)
    found = torch.get_rng_state()
    make = task("Net")
    torch.manual_seed(5)
    assert torch.equal(torch.get_rng_state(), found)
    first = [p.clone() for p in make.network("supernet").parameters()]
    assert all(torch.equal(a, b) for a, b in zip(first, make.network("supernet").parameters(), strict=True))


RUNS: dict[tuple[str, ...], list[str]] = {
    ("View",): [],
    ("Net",): ["--target.width=6"],
    ("double",): ["--precision=64-true"],
    ("volumes", "vectors"): [],
    ("color", "one_val"): ["--search.batch=50"],
    ("color", "one_left"): [],
    ("color", "few"): ["--search.batch=64"],
}


@pytest.mark.parametrize("case", RUNS, ids="-".join)
def test_what_is_accepted_runs_to_the_end(case: tuple[str, ...], tmp_path: Path) -> None:
    flags = [f"--{kind}=brought:{name}" for kind, name in zip(("space", "data"), case, strict=False)]
    out = tmp_path / "out"
    assert main(["run", *flags, *SPOS, *RUNS[case], "--retrain.epochs=1", "--baselines=0", "--out", str(out)]) == 0
    tested = results(Run(out)).retrained
    assert tested is not None
    assert 0 <= tested.metrics["accuracy"] <= 1


WRONG_FLAGS: dict[str, tuple[list[str], str]] = {
    "sizes of vectors": (
        ["line", "flat", "--search.sizes=8,16"],
        "--search.sizes: expected none, since the inputs are",
    ),
    "cutout of vectors": (["line", "flat", "--retrain.cutout=2"], "--retrain.cutout: expected none, since the inputs"),
    "erasing of vectors": (["line", "flat", "--retrain.erase=1"], "--retrain.erase: expected none, since the inputs"),
    "cutmix of vectors": (["line", "flat", "--retrain.cutmix=1"], "--retrain.cutmix: expected none, since the inputs"),
    "too small": (["View", "digits", "--search.sizes=6,8"], "--search.sizes 6: the network cannot take it: RuntimeErr"),
    "one to calibrate": (["norm", "digits", "--score.calibration=1"], "--score.calibration, --score.batch: expected b"),
}


@pytest.mark.parametrize("name", WRONG_FLAGS)
def test_flags_that_do_not_fit_name_themselves(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (space, data, flag), told = WRONG_FLAGS[name]
    data = data if data == "digits" else f"brought:{data}"
    words = [f"--space=brought:{space}", f"--data={data}", flag, "--out", str(tmp_path / "out")]
    assert main(["run", *words, *SPOS]) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_wrong_label_that_is_read_late_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--space=brought:color", "--data=brought:LateLabel", "--search.batch=8", "--out", str(tmp_path / "out")]
    assert main(["search", *words, *SPOS]) == 2
    assert f"{CLASSES} 2 as targets, got 7 (example 41 of the data set)" in capsys.readouterr().err


def test_a_method_that_learns_on_one_validation_example_is_told(tmp_path: Path) -> None:
    words = ["--space=brought:norm_of_three", "--data=brought:one_val", "--method=ista", "--search.epochs=1"]
    assert main(["search", *words, "--out", str(tmp_path / "out")]) == 2
    assert not (tmp_path / "out").exists()
