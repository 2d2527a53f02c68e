"""The whole job on a plain network that is opened: from the command line, from Python, and without the library."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import sparsenas
from opening_nets import Small, small
from sparsenas.__main__ import main
from sparsenas.errors import UserError
from sparsenas.job.folder import open_task
from sparsenas.job.stages.finish import summary
from sparsenas.job.stages.original import tell_original
from sparsenas.job.stages.retrain import NetworkTrainer
from sparsenas.job.trained import found as found_arch
from sparsenas.objectives import Classification
from sparsenas.opening.weights import load_weights
from sparsenas.reporting import report
from sparsenas.rundir.folder import Run

TRUST = "--trust-plugins=opening_nets:small"
CPU = "--accelerator=cpu"
SHORT = (
    CPU, "--space=open", "--space.net=opening_nets:small", "--space.shares=0.25,0.5,0.75,1",
    "--budget=flops<=40e3", "--method.population=12", "--method.generations=2", "--method.parents=4",
    "--method.mutants=6", "--method.crossovers=6", "--score.calibration=64",
)  # fmt: skip


DSO = ("--space.groups=true", "--space.depth=false", "--method=dso", "--method.adapt=none")


def weights_of_seed(seed: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    return small().state_dict()


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("opened") / "small.pt"
    torch.save(weights_of_seed(3), path)
    return path


@pytest.fixture(scope="module")
def whole(weights: Path) -> Path:
    """A run without training of the supernet."""
    out = weights.parent / "whole"
    words = ["run", *SHORT, f"--space.weights={weights}", f"--out={out}", "--search.epochs=0", "--baselines=1"]
    assert main([*words, "--retrain.epochs=2", "--retrain.distill=original"]) == 0
    return out


def read(out: Path, name: str) -> dict[str, object]:
    return json.loads((out / name).read_text())  # type: ignore[no-any-return]


def test_the_supernet_has_the_weights_of_the_file(whole: Path) -> None:
    supernet = torch.load(whole / "supernet.pt", weights_only=True)["net"]
    for name, tensor in weights_of_seed(3).items():
        torch.testing.assert_close(supernet[f"net.{name}"], tensor, rtol=0, atol=0)


def test_results_have_the_original(whole: Path) -> None:
    results = read(whole, "results.json")
    original = results["original"]
    assert original["arch"]["stem"] == "8"  # type: ignore[index]
    assert original["costs"]["params"] == sum(p.numel() for p in small().parameters())  # type: ignore[index]
    assert results["retrained"]["inherit"] is True  # type: ignore[index]
    net, data = small(), open_task(whole, torch.device("cpu"), ["opening_nets:small"]).task.data
    net.load_state_dict(weights_of_seed(3))
    batch = next(data.test.batches(len(data.test)))
    right = net.eval()(data.prepared(batch.inputs)).argmax(1) == batch.targets
    assert original["metrics"]["accuracy"] == pytest.approx(right.float().mean().item())  # type: ignore[index]
    page = (whole / "report.html").read_text()
    assert "Original and found" in page
    assert "The recipe of the run smooths labels (0.1)" in page
    share = read(whole, "best.json")["costs"]["flops"] / original["costs"]["flops"]  # type: ignore[index]
    assert str(summary(Run(whole), [], Classification(10)).title).endswith(
        f" multiply-adds, {share:.1%} of the original"
    )
    assert "retrained from inherited weights" in page


def test_an_original_that_only_guesses_is_told(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    warning = r"whose accuracy, \d+.\d\d%, is hardly better than that of a guess, 10.00%: either its weights are not "
    assert re.search(warning, str(read(whole, "best.json")["warning"]))
    opened = open_task(whole, torch.device("cpu"), ["opening_nets:small"])
    capsys.readouterr()
    assert not tell_original(opened.run, opened.task, opened.flags.score, trains=True)
    told = capsys.readouterr().err
    assert told.startswith("original: accuracy ")
    assert told.endswith("% on 360 validation examples\n")


def test_the_found_network_needs_no_sparsenas(whole: Path) -> None:
    """The network of net.py and net.pt, in a process in which this library cannot be imported."""
    code = f"""
import sys
sys.modules["sparsenas"] = None
sys.path[:0] = [{str(whole)!r}, {str(Path(__file__).parent)!r}]
import torch
from net import shrink
from opening_nets import small
net, x = shrink(small()), torch.linspace(-1, 1, 128).view(2, 1, 8, 8)
torch.testing.assert_close(net(x), torch.export.load({str(whole / "net.pt2")!r}).module()(x))
assert sum(p.numel() for p in net.parameters()) == {read(whole, "best.json")["costs"]["params"]}
"""
    subprocess.run([sys.executable, "-c", code], check=True, env={"PATH": "", "OMP_NUM_THREADS": "1"})


def test_a_published_folder_has_a_script_that_shrinks_the_own_network(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["publish", str(whole), f"--to={tmp_path / 'model'}"]) == 2
    assert "net opening_nets:small is not built in; to run its code, add --trust-pl" in capsys.readouterr().err
    assert main(["publish", str(whole), f"--to={tmp_path / 'model'}", TRUST]) == 0
    assert "weights" not in json.loads((tmp_path / "model" / "config.json").read_text())["space"]
    code = f"""
import sys
sys.modules["sparsenas"] = None
sys.path[:0] = [{str(tmp_path / "model")!r}, {str(Path(__file__).parent)!r}]
import torch
from load import load
from net import shrink
from opening_nets import small
x = torch.linspace(-1, 1, 128).view(2, 1, 8, 8)
torch.testing.assert_close(shrink(small())(x), load()(x))
"""
    subprocess.run([sys.executable, "-c", code], check=True, env={"PATH": ""})


def test_retraining_starts_from_inherited_weights_or_anew(whole: Path) -> None:
    opened = open_task(whole, torch.device("cpu"), ["opening_nets:small"])
    arch = found_arch(opened.run, opened.task.choices)
    inherited, anew, again = (
        NetworkTrainer(opened.task, opened.run, None, None, 0, inherit=inherit).start(arch, purpose)  # type: ignore[arg-type]
        for inherit, purpose in ((True, "retrain"), (False, "retrain"), (False, "retrain"))
    )
    original = weights_of_seed(3)["head.weight"]
    assert torch.equal(inherited.head.weight, original[:, : inherited.head.in_features]) or (
        inherited.head.weight[0, 0] in original[0]
    )
    assert torch.equal(anew.head.weight, again.head.weight)
    assert anew.head.weight[0, 0] not in original[0]


def test_commands_on_the_folder(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("evaluate", "export", "retrain"):
        assert main([command, str(whole), *([CPU] if command != "export" else [])]) == 2
        assert "net opening_nets:small is not built in; to run its code, add --trust-pl" in capsys.readouterr().err
    assert main(["evaluate", str(whole), TRUST, CPU]) == 0
    assert main(["export", str(whole), TRUST]) == 0
    other = whole.with_name("evolved")
    assert main(["evolve", str(whole), f"--out={other}", TRUST, CPU, "--budget=flops<=30e3", *SHORT[5:-1]]) == 0
    assert read(other, "best.json")["costs"]["flops"] <= 30e3  # type: ignore[index]
    assert main(["retrain", str(other), TRUST, CPU, "--retrain.epochs=1", "--inherit=false"]) == 0
    assert not (other / "net.json").exists()
    results = read(other, "results.json")
    assert results["retrained"]["recipe"]["epochs"] == 1  # type: ignore[index]
    assert results["original"]["arch"]["stem"] == "8"  # type: ignore[index]
    assert report(other).read_text().count('<code>--retrain.epochs</code></td><td class="word"><code>1<') == 1
    net = sparsenas.load(other, ["opening_nets:small"])
    assert type(net).__name__ == "Small"


def test_other_weights_are_noticed(whole: Path, weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(weights_of_seed(4), weights)
    try:
        assert main(["evaluate", str(whole), TRUST, CPU]) == 2
        assert "run.json: the weights of the network that was opened have changed" in capsys.readouterr().err
    finally:
        torch.save(weights_of_seed(3), weights)


def test_from_python(tmp_path: Path) -> None:
    net = small()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    space = sparsenas.open(net, torch.zeros(1, 1, 8, 8), shares=(0.5, 1.0))
    run: Callable[..., sparsenas.Found] = sparsenas.run
    found = run(
        space, "digits", budget="flops<=40e3", out=tmp_path / "run", search={"epochs": 1, "distill": "sandwich"},
        retrain={"epochs": 1}, accelerator="cpu", score={"calibration": 64},
        method={"name": "spos", "population": 12, "generations": 1, "parents": 4, "mutants": 6, "crossovers": 6},
    )  # fmt: skip
    assert type(found.network()) is Small
    assert found.results.retrained is not None
    assert found.results.retrained.inherit
    for name, tensor in net.state_dict().items():
        torch.testing.assert_close(tensor, before[name], rtol=0, atol=0)


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--space.net=opening_nets",), "--space.net: expected package.module:callable"),
        (("--space.net=opening_nets:nothing",), "found no 'nothing'"),
        (("--space.net=opening_nets:broken",), "cannot be built"),
        (("--space.weights=nowhere.pt",), "nowhere.pt"),
        (("--space.args={width: 16}", "--space.weights={weights}"), "expected stem.weight of shape (16, 1, 3, 3)"),
        (("--space.args={classes: 7}",), "(examples, classes) = (4, 10), got (4, 7)"),
        (("--retrain.epochs=0",), "--retrain.epochs: expected >= 1, got 0"),
        ((*DSO, "--search.epochs=0"), "--search.epochs: expected >= 1, got 0"),
    ],
)
def test_mistakes(
    flags: tuple[str, ...], told: str, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [flag.replace("{weights}", str(weights)) for flag in flags]
    spos = [flag for flag in SHORT if "--method=dso" not in flags or not flag.startswith("--method")]
    assert main(["run", *spos, f"--out={tmp_path / 'run'}", *words]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert told in error
    assert not (tmp_path / "run").exists()


def test_weights_of_a_whole_module_are_refused(tmp_path: Path) -> None:
    torch.save(small(), tmp_path / "whole.pt")
    with pytest.raises(UserError, match=r"whole.pt: expected a state dict \(`torch.save.*got a file with pickled obj"):
        load_weights(small(), str(tmp_path / "whole.pt"))


def test_data_of_another_shape_than_the_example_are_told(tmp_path: Path) -> None:
    space, data = sparsenas.open(small(), torch.zeros(2, 1, 8, 8)), (torch.zeros(60, 8, 8), torch.arange(60) % 10)
    with pytest.raises(UserError, match=r"^data: expected examples of shape \(1, 8, 8\), as open was .* \(8, 8\); spa"):
        sparsenas.search(space, data, out=tmp_path / "run")


def test_only_opened_networks_have_an_original(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["run", CPU, f"--out={tmp_path / 'run'}", "--space.width=4", "--space.blocks=2"]
    assert main([*words, "--retrain.distill=original"]) == 2
    assert "only an opened network has an original" in capsys.readouterr().err
    assert main([*words, "--search.epochs=0"]) == 2
    assert "--search.epochs: expected >= 1, got 0: only an opened network" in capsys.readouterr().err
