"""Code and data of the user's own that fail: one line that names the flag, nothing left; what cannot be exported."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from sparsenas.__main__ import main
from sparsenas.data import Data, Split, as_data
from sparsenas.errors import UserError
from sparsenas.rundir.folder import Run
from sparsenas.rundir.networks import ONNX, PT2
from sparsenas.rundir.results import results

MODULE = """
import sys
import torch
from torch import nn
from sparsenas import Join

def net(classes):
    pair = {"c3": nn.Conv2d(4, 4, 3), "c1": nn.Conv2d(4, 4, 1)}
    last = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, classes)
    return nn.Sequential(nn.Conv2d(1, 4, 3), Join.of("a", pair), *last)

class Branch(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = net(10)
    def forward(self, x):
        x = self.net(x)
        return 2 * x if x.sum() > 0 else x

class Complex(nn.Module):
    def __init__(self):
        super().__init__()
        self.net, self.last = net(10), nn.Linear(10, 10, dtype=torch.complex64)
    def forward(self, x): return self.last(self.net(x).to(torch.complex64)).real

class Half(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = net(10).bfloat16()
    def forward(self, x): return self.net(x.to(next(self.parameters()).dtype)).float()

made = net(10)

def fails(): raise KeyError("weights")
def leaves(): sys.exit(7)
def missing(): raise FileNotFoundError("no data.csv")
def parts(count, channels): return torch.rand(count, channels, 8, 8), torch.arange(count) % 3
def colored_test(): return {"train": parts(60, 1), "val": parts(20, 1), "test": parts(20, 3)}
def ids(): return torch.rand(60, 1, 8, 8), torch.arange(60) * 10**6
def numbers(): return torch.tensor(3.0), torch.tensor(1)
"""
SPOS = [
    "--method.population=3", "--method.generations=1", "--method.parents=2", "--method.mutants=1",
    "--method.crossovers=1", "--search.epochs=1", "--accelerator=cpu",
]  # fmt: skip
REFUSED = {
    "--space=own:fails": "--space own:fails: cannot be built: KeyError: 'weights' (own.py, line",
    "--space=own:leaves": "--space own:leaves: cannot be built: SystemExit: 7 (own.py, line",
    "--space=own:made": "--space own:made: expected a function or class in own, got an object of class Sequential",
    "--space=:made": "--space :made: expected an importable module, got: ValueError: Empty module name",
    "--space=broken:make": "--space broken:make: expected an importable module, got: SyntaxError: ",
    "--space=leaving:make": "--space leaving:make: expected an importable module, got: SystemExit: 3",
    "--data=own:missing": "--data own:missing: cannot be built: FileNotFoundError: no data.csv (own.py, line",
    "--data=own:colored_test": "--space own:net: inputs [3, 8, 8] of the test part: RuntimeError: ",
    "--data=own:ids": "--data own:ids: expected class numbers below 1000000, got 59000000",
    "--data=own:numbers": "--data own:numbers: expected tensors whose first dimension is the examples",
}


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"own.py": MODULE, "broken.py": "def make(:\n", "leaving.py": "import sys\nsys.exit(3)\n"}
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "own", raising=False)


@pytest.mark.parametrize("flag", REFUSED)
def test_own_code_that_fails_is_one_line(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        assert main(["search", "--space=own:net", flag, *SPOS, "--out=deep/out"]) == 2
        told = capsys.readouterr().err
        assert REFUSED[flag] in told
        assert len(told.splitlines()) == 1
        assert not Path("deep").exists()


@pytest.mark.parametrize("space", ["Branch", "Complex"])
def test_a_network_that_cannot_be_exported_has_all_other_results(space: str, tmp_path: Path) -> None:
    flags = [f"--space=own:{space}", *SPOS, "--retrain.epochs=1", "--baselines=0", "--out=out"]
    assert main(["run", *flags]) == 0
    run = Run(tmp_path / "out")
    assert results(run).retrained is not None
    assert run.has("report.html")
    assert run.has(PT2) == (space == "Complex")
    assert not run.has(ONNX)
    assert main(["export", "out", f"--trust-plugins=own:{space}"]) == 2


def test_other_floating_point_numbers_become_floats() -> None:
    assert main(["search", "--space=own:Half", *SPOS, "--out=out"]) == 0


def test_parts_of_a_data_object_are_checked() -> None:
    good, short = Split(torch.rand(6, 2), torch.arange(6)), Split(torch.rand(6, 2), torch.arange(5))
    with pytest.raises(UserError, match="test part: expected as many targets as inputs, got 6 and 5"):
        as_data(Data(("a",) * 6, good, good, short))
    with pytest.raises(UserError, match="val: expected a Split or other Examples, got tuple"):
        as_data(Data(("a",) * 6, good, (1, 2), good))  # type: ignore[arg-type]
