"""Later commands on data that are elsewhere now, and export where they are gone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import onnxruntime
import pytest
import torch
from tests.real_runs import CPU, QUICK
from tests.test_cli import fails
from tests.test_image_sizes import folder, picture

import sparsenas
from sparsenas.__main__ import main

FLAGS = ["--data=imagefolder", "--data.size=8,12", "--data.workers=0", "--space.width=8", "--space.blocks=3"]
FLAGS += ["--search.epochs=1", "--retrain.epochs=1", "--baselines=0", *QUICK, *CPU]
OWN = """
import torch
from pathlib import Path
from sparsenas.data import Data, Split
def data():
    x = torch.load(Path(__file__).parent / "x.pt")
    part = Split(x, torch.arange(len(x)) % 2)
    return Data(("a", "b"), part, part, part)
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures and a run on them; the pictures have been moved since."""
    place = tmp_path_factory.mktemp("moved")
    folder(place / "before", "a", "b")
    words = ["run", f"--out={place / 'run'}", f"--data.root={place / 'before'}", *FLAGS]
    assert main(words) == 0
    (place / "before").rename(place / "after")
    return place


@pytest.fixture
def run(made: Path, tmp_path: Path) -> str:
    return str(shutil.copytree(made / "run", tmp_path / "run"))


@pytest.mark.usefixtures("unexported")
def test_later_commands_find_the_data_where_they_are_now(made: Path, run: str, tmp_path: Path) -> None:
    moved = f"--data.root={made / 'after'}"
    results = json.loads(Path(run, "results.json").read_text())
    (tmp_path / "table.json").write_text(json.dumps({"000000": {"mean_acc": 50.0}, "111111": {"mean_acc": 60.0}}))
    assert main(["evaluate", run, moved]) == 0
    assert main(["export", run, moved]) == 0
    assert main(["retrain", run, "--retrain.epochs=1", moved, *CPU]) == 0
    assert main(["rank", run, f"--table={tmp_path / 'table.json'}", "--calibration=0", moved, *CPU]) == 0
    assert main(["run", "--resume", f"--out={run}", moved]) == 0
    again = str(tmp_path / "again")
    assert main(["evolve", run, f"--out={again}", moved, *QUICK, *CPU]) == 0
    assert main(["evolve", run, f"--out={again}", "--resume", moved, *CPU]) == 0
    assert main(["evaluate", again, "--arch=found"]) == 0  # its own flags have the new place
    assert json.loads(Path(run, "results.json").read_text())["inherited"] == results["inherited"]


def test_without_the_flag_the_old_place_is_named(
    made: Path, run: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (["evaluate", run], ["retrain", run], ["evolve", run, f"--out={tmp_path / 'again'}"]):
        assert f"--data.root {made / 'before'}: expected a folder, found none" in fails(capsys, *words)


def test_other_data_are_refused(made: Path, run: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(made / "after", tmp_path / "other")
    (tmp_path / "other" / "a" / "more.png").write_bytes(picture(0))
    other = f"--data.root={tmp_path / 'other'}"
    again = ["evolve", run, f"--out={tmp_path / 'again'}"]
    for words in (["evaluate", run], ["export", run], ["retrain", run], again, ["run", "--resume", f"--out={run}"]):
        assert "the data set has changed since this run began" in fails(capsys, *words, other)
    assert not (tmp_path / "again").exists()


def test_data_without_a_place_have_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = str(tmp_path / "run")
    assert main(["search", f"--out={run}", "--search.epochs=1", *QUICK, *CPU]) == 0
    assert f"--data.root: expected none, since the data of {run} have no such flag" in fails(
        capsys, "evaluate", run, "--data.root=x"
    )


def test_export_needs_no_data(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("net.pt2", "net.onnx"):
        Path(run, name).unlink()
    capsys.readouterr()
    assert main(["export", run]) == 0
    told = capsys.readouterr().err.splitlines()
    assert [line for line in told if "random inputs stand in for them: --data.root" in line] == told[:1]
    assert told[1].startswith("export: ")
    x = torch.rand(3, 3, 8, 12)
    session = onnxruntime.InferenceSession(str(Path(run, "net.onnx")))
    with torch.no_grad():
        expected = sparsenas.load(run)(x)
    assert torch.allclose(
        expected, torch.as_tensor(session.run(None, {session.get_inputs()[0].name: x.numpy()})[0]), atol=1e-4
    )
    Path(run, "best.json").write_text("[]")
    capsys.readouterr()
    assert main(["export", run]) == 2
    assert "best.json: expected an object" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.usefixtures("unexported")
def test_export_needs_no_data_of_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    Path("data_of_mine.py").write_text(OWN)
    torch.save(torch.rand(80, 1, 8, 8), "x.pt")
    words = ["run", "--data=data_of_mine:data", "--out=run", *[f for f in FLAGS if not f.startswith("--data")]]
    assert main(words) == 0
    Path("x.pt").unlink()
    assert main(["export", "run", "--trust-plugins=data_of_mine:data"]) == 0
    assert "random inputs stand in" in capsys.readouterr().err
