"""Damaged or foreign files of a run folder are told in one line, before any work; a retraining keeps its settings."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import sparsenas
from sparsenas import Join, UserError
from sparsenas.__main__ import main
from sparsenas.rundir.checkpoint import Checkpoint

ME = __name__
TRUST = [f"--trust-plugins={ME}:net", f"--trust-plugins={ME}:data"]
FLAGS: dict[str, Any] = {
    "search": {"epochs": 1},
    "score": {"calibration": 0},
    "method": {"name": "random", "evaluations": 3},
    "accelerator": "cpu",
    "threads": 1,
}


def net(classes: int) -> nn.Module:
    return nn.Sequential(Join.of("a", {"l": nn.Linear(3, 3), "skip": nn.Identity()}), nn.Linear(3, classes))


def data() -> tuple[Tensor, Tensor]:
    return torch.linspace(-1, 1, 240).view(80, 3), torch.arange(80) % 4


def resume(out: Path) -> sparsenas.Found:
    return sparsenas.run(net, data, out=out, retrain={"epochs": 1}, baselines=0, resume=True, **FLAGS)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return resume(tmp_path_factory.mktemp("whole") / "run").path


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Iterator[Path]:
    shutil.copytree(whole, tmp_path / "run")
    yield tmp_path / "run"
    assert not (tmp_path / "run" / "lock.json").exists()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def replaced(**values: Any) -> Callable[[Path], None]:
    return lambda path: path.write_text(json.dumps({**json.loads(path.read_text()), **values})) and None


def not_finite(path: Path) -> None:
    state = torch.load(path)
    state["0.bias" if "0.bias" in state else "1.bias"][0] = torch.nan
    torch.save(state, path)


def without_seed(path: Path) -> None:
    path.write_text("\n".join(line for line in path.read_text().split("\n") if not line.startswith("seed:")))


DAMAGED: dict[str, tuple[str, Callable[[Path], None], str]] = {
    "weights cut": ("net.pt", cut, "net.pt: expected tensors saved by sparsenas, got a damaged file"),
    "weights of a pickle": ("net.pt", lambda path: torch.save(nn.Linear(2, 2), path), "objects other than tensors and"),
    "weights of others": ("net.pt", lambda path: torch.save({}, path), "net.pt: expected the weights of the network"),
    "weights not finite": ("net.pt", not_finite, "net.pt: expected finite weights, got NaN or infinity in "),
    "results cut": ("results.json", cut, "results.json: expected JSON, got"),
    "data cut": ("data.json", cut, "data.json: expected JSON, got"),
    "a flag gone": ("config.yaml", without_seed, "config.yaml: expected all flags of a run, found no seed"),
    "other choices": ("best.json", replaced(arch={"b": ["l"]}), "best.json: architecture: expected choices a, got"),
    "no metrics": ("best.json", replaced(val={}), "expected accuracy among the metrics of best.json and results.json"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_is_one_line(name: str, run: Path) -> None:
    file, damage, told = DAMAGED[name]
    damage(run / file)
    before = (run / "net.pt").read_bytes()
    with pytest.raises(UserError, match=told) as error:
        resume(run)
    assert "\n" not in str(error.value)
    assert (run / "net.pt").read_bytes() == before
    if file == "net.pt":
        assert main(["evaluate", str(run), *TRUST, "--accelerator=cpu"]) == 2
        with pytest.raises(UserError, match=told):
            sparsenas.load(run, [f"{ME}:net", f"{ME}:data"])


def test_the_report_tells_of_a_damaged_line_but_not_of_what_a_kill_leaves(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = (run / "log.jsonl").read_text().split("\n")
    (run / "log.jsonl").write_text("\n".join(lines)[:-9])
    assert main(["report", str(run)]) == 0
    assert "left out" not in capsys.readouterr().err
    (run / "log.jsonl").write_text("\n".join([lines[0][:20], *lines[1:]]))
    assert main(["report", str(run)]) == 0
    assert f"left out of the report: {run / 'log.jsonl'}, line 1: expected JSON" in capsys.readouterr().err


def again(run: Path, **flags: Any) -> sparsenas.Found:
    return sparsenas.retrain(run, space=net, data=data, accelerator="cpu", checkpoint_seconds=0, threads=1, **flags)


def interrupt(monkeypatch: pytest.MonkeyPatch, run: Path) -> None:
    """Interrupts a retraining of three epochs at its second checkpoint."""
    saves, save = [0], Checkpoint.save

    def stopping(self: Checkpoint, parts: Any) -> None:
        save(self, parts)
        saves[0] += 1
        if saves[0] == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "save", stopping)
        with pytest.raises(KeyboardInterrupt):
            again(run, retrain={"epochs": 3})


def test_an_interrupted_retraining_goes_on_with_its_own_settings_only(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["evaluate", str(run), "--onnx", *TRUST]) == 0
    interrupt(monkeypatch, run)
    assert main(["evaluate", str(run), "--onnx", *TRUST]) == 2  # the exported network is another one
    for flags, told in (
        (
            {"retrain": {"epochs": 4}},
            "retrain.epochs: expected 3, as the interrupted training in .* has, got 4;",
        ),
        ({"retrain": {"epochs": 3, "lr": 0.3}}, "retrain.lr: expected 0.1, "),
        ({"retrain": {"epochs": 3}, "inherit": True}, "inherit: expected False, "),
    ):
        with pytest.raises(UserError, match=f"^{told}"):
            again(run, **flags)
    again(run, retrain={"epochs": 3})
    resumed = torch.load(run / "net.pt")
    interrupt(monkeypatch, run)
    again(run, retrain={"epochs": 2}, restart=True)
    assert not torch.equal(next(iter(torch.load(run / "net.pt").values())), next(iter(resumed.values())))
    again(run, retrain={"epochs": 3})
    assert all(torch.equal(value, resumed[name]) for name, value in torch.load(run / "net.pt").items())


def test_a_finished_network_outlives_a_retraining_that_is_refused(run: Path) -> None:
    (run / "checkpoint.pt").write_text("x")
    with pytest.raises(UserError, match=r"damaged file: .*; remove .*checkpoint\*.pt to begin retrain anew"):
        again(run, retrain={"epochs": 2})
    assert (run / "net.pt").exists()
