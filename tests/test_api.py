"""The functions of Python take modules, functions, data objects and names, from scripts, notebooks and processes."""

from __future__ import annotations

import asyncio
import multiprocessing
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

import sparsenas
from sparsenas import Arch, Join, UserError, choices, derive, set_gates
from sparsenas.__main__ import main
from sparsenas.commands.search import search
from sparsenas.costs.layer import Layer
from sparsenas.job.api.objects import fresh, plugin
from sparsenas.job.api.words import argument_names
from sparsenas.job.flags.parse import parse
from sparsenas.methods import Spos
from sparsenas.objectives import Regression

QUICK: dict[str, Any] = {
    "method": {"name": "spos", "generations": 0},
    "search": {"epochs": 1},
    "score": {"calibration": 16},
    "threads": 1,
    "accelerator": "cpu",
}


class Net(nn.Module):
    """A small network of vectors; ``width`` is a flag."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.first = nn.Linear(6, width)
        self.join = Join.of(
            "hidden", {"linear": nn.Linear(width, width), "skip": nn.Identity(), "tanh": nn.Sequential(nn.Tanh())}
        )
        self.last = nn.Linear(width, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(self.join(torch.relu(self.first(x))))
        return out


def make(width: int = 8) -> Net:
    return Net(width)


def absolute(output: Tensor, target: Tensor) -> Tensor:
    return (output - target).abs().mean()


@pytest.fixture(scope="module")
def data() -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    x = torch.randn(120, 6)
    return x, x[:, :1] * 2 - x[:, 1:2]


def test_a_whole_run_of_objects(data: tuple[Tensor, Tensor], tmp_path: Path) -> None:
    found = sparsenas.run(
        Net(), data, objective="regression", budget="params<=200", out=tmp_path / "run", baselines=1,
        retrain={"epochs": 2}, **QUICK,
    )  # fmt: skip
    assert found.costs["params"] <= 200
    assert found.test is not None
    net = found.network()
    assert not choices(net)
    assert net(data[0]).shape == (120, 1)
    report = sparsenas.report(found)
    assert report.read_text().count("rmse") > 3
    assert "output = net(torch.zeros(1, 6))" in report.read_text()
    assert "argmax" not in report.read_text().partition("With torch alone")[2].partition("With sparsenas")[0]
    assert sparsenas.export(found).same_predictions > 0
    before = found.test
    again = sparsenas.retrain(found, retrain={"epochs": 1}, threads=1)
    assert again.arch == found.arch
    assert again.test is not None
    assert again.test != before
    assert before.keys() == {"rmse", "mae", "r2", "loss"}
    smaller = sparsenas.evolve(found, "params<=100", out=tmp_path / "small", method=QUICK["method"])
    assert smaller.costs["params"] <= 100
    assert smaller.network()(data[0]).shape == (120, 1)


def test_a_folder_of_objects_needs_them_again(
    data: tuple[Tensor, Tensor], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    sparsenas.search(Net(), data, objective=Regression(), out=out, **QUICK)
    capsys.readouterr()
    assert main(["retrain", str(out), "--retrain.epochs", "1"]) == 2
    told = capsys.readouterr().err
    assert "space was an object of class Net" in told
    assert "space=..." in told
    assert len(told.splitlines()) == 1
    with pytest.raises(UserError, match="was an object"):
        sparsenas.retrain(out, retrain={"epochs": 1})
    found = sparsenas.retrain(
        out, space=Net(), data=data, objective=Regression(), retrain={"epochs": 1}, threads=1
    )  # fmt: skip
    assert found.network()(data[0][:2]).shape == (2, 1)


@pytest.mark.parametrize("space", [Net, make, {"name": "test_api:Net", "width": 4}, "test_api:make"])
def test_spaces_by_class_function_and_name(
    space: object, data: tuple[Tensor, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    split = TensorDataset(*data)
    found = sparsenas.search(space, split, objective=absolute, out=tmp_path / "run", **QUICK)
    assert found.val is not None
    assert found.val.keys() == {"loss"}
    assert found.network()(data[0]).shape == (120, 1)


def test_what_is_no_plug_in_is_told(data: tuple[Tensor, Tensor], tmp_path: Path) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"space": 3}, "^space: expected a name, a function or a class, got an object of class int$"),
        ({"method": Spos.__new__(Spos)}, "^method: expected a name or a class, got an object; give the class Spos$"),
        ({"search": {"epoch": 3}}, "^search.epoch: there is no such field; expected one of epochs"),
        ({"treads": 3}, "^treads: there is no such flag; expected one of out"),
        ({"budget": "flops<=1"}, "flops"),
        ({"data": 5}, "data"),
        ({"objective": "regresion"}, "objective"),
    ]
    for flags, told in wrong:
        given = {"space": Net(), "data": data, "objective": "regression", "out": tmp_path / "run", **flags}
        with pytest.raises(UserError, match=told) as caught:
            sparsenas.run(**given)
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "run").exists()


def test_layers_begin_anew_by_the_seed() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.MultiheadAttention(4, 2), nn.BatchNorm1d(4), make())
    torch.manual_seed(1)
    first, second = fresh(net), fresh(net)
    torch.manual_seed(1)
    third = fresh(net)
    for (name, a), b, c, own in zip(
        first.named_parameters(), second.parameters(), third.parameters(), net.parameters(), strict=True
    ):
        assert torch.equal(a, c), name
        assert a is not own
        assert name.endswith("bias") or name.startswith("2.") or not torch.equal(a, b), name


def test_a_step_is_that_of_the_method() -> None:
    """Equal to sampling by hand; a method with parameters takes its own step."""
    x, y = torch.randn(16, 6), torch.randn(16, 1)
    nets = [make(), make()]
    nets[1].load_state_dict(nets[0].state_dict())
    ours, theirs = (sparsenas.method("spos", net, x, seed=3) for net in nets)
    optimizers = [torch.optim.SGD(net.parameters(), 0.1) for net in nets]
    for _ in range(5):
        with sparsenas.step(nets[0], ours) as gates:
            (nets[0](x) - y).square().mean().backward()
        optimizers[0].step()
        optimizers[0].zero_grad()
        by_hand = theirs.gates()
        assert by_hand == gates
        set_gates(nets[1], by_hand)
        (nets[1](x) - y).square().mean().backward()
        optimizers[1].step()
        optimizers[1].zero_grad()
    assert all(torch.equal(a, b) for a, b in zip(nets[0].parameters(), nets[1].parameters(), strict=True))


def test_a_method_learns_on_leaving_a_step() -> None:
    x, y, net = torch.randn(16, 6), torch.randn(16, 1), make()
    method = sparsenas.method("ista", net, x)
    before = [p.clone() for p in method.parameters()]
    with sparsenas.step(net, method, learn=False):
        (net(x) - y).square().mean().backward()
    assert all(torch.equal(a, b) for a, b in zip(before, method.parameters(), strict=True))
    with sparsenas.step(net, method):
        (net(x) - y).square().mean().backward()
    assert not all(torch.equal(a, b) for a, b in zip(before, method.parameters(), strict=True))
    assert all(p.grad is None for p in method.parameters())


def many(layers: list[Layer]) -> int:
    return len(layers)


@pytest.mark.parametrize("cost", [many, [many], "tests.test_api:many"])
def test_one_cost_needs_no_list(cost: Any, data: tuple[Tensor, Tensor], tmp_path: Path) -> None:
    assert (
        "many" in sparsenas.search(make, data, objective="regression", cost=cost, out=tmp_path / "run", **QUICK).costs
    )
    assert sparsenas.method("spos", make(), data[0], "many<=99", cost=cost).gates()


def test_a_loss_function_is_named_on_the_command_line() -> None:
    flags = parse(search, ["--objective", "tests.test_api:absolute"])["flags"]
    assert flags.objective.name == "tests.test_api:absolute"


def test_a_search_by_a_score_of_ones_own() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Linear(4, 8),
        Join.of("a", {"norm": nn.BatchNorm1d(8), "skip": nn.Identity(), "tanh": nn.Tanh()}),
        Join.of("b", {"linear": nn.Linear(8, 8), "skip": nn.Identity()}),
        nn.Linear(8, 1),
    )
    x, y = torch.randn(64, 4), torch.randn(64, 1)
    seen: list[nn.Module] = []

    def score(one: nn.Module) -> Tensor:
        seen.append(one)
        assert not one.training
        return -(one(x) - y).square().mean()

    found = sparsenas.evolve(
        net, "flops<=60", score=score, calibrate=[(x, y)], method={"name": "spos", "generations": 1}
    )  # fmt: skip
    assert len(found.scores) == len(seen) == 3, "every network within the budget once"
    assert found.costs["flops"] <= 60
    expected = {}
    for arch in found.scores:
        plain = derive(net, arch.gates())
        sparsenas.nn.recalibration.recalibrate(plain, [x])
        expected[arch] = float(-(plain.eval()(x) - y).square().mean().detach())
    assert found.scores == pytest.approx(expected)
    assert found.score == max(expected.values())
    assert float(-(found.network()(x) - y).square().mean().detach()) == pytest.approx(found.score)


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ({}, "^score: expected a function"),
        ({"score": lambda net: "good", "example": (4,)}, "^score: expected a number for "),
        ({"score": lambda net: 0.0}, "^example: expected a batch of inputs"),
        ({"score": lambda net: 0.0, "example": (4,), "budget": "flops<=1"}, "flops"),
        ({"score": lambda net: 0.0, "example": (4,), "method": "ista"}, "^method: expected a method that searches"),
    ],
)
def test_mistakes_in_a_search_by_ones_own_score(flags: dict[str, Any], told: str) -> None:
    net = nn.Sequential(Join.of("a", {"linear": nn.Linear(4, 4), "other": nn.Linear(4, 4)}))
    with pytest.raises(UserError, match=told):
        sparsenas.evolve(net, **flags)


NOTEBOOK = """
import sparsenas, torch
from torch import nn
class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(6, 4), sparsenas.Join.of("a", {"x": nn.Linear(4, 4), "y": nn.Identity()}), nn.Linear(4, 1))
def make(): return Net()
def data():
    x = torch.arange(360.0).view(60, 6).sin()
    return x, x[:, :1]
flags = dict(objective="regression", method={"name": "spos", "generations": 0}, search={"epochs": 1}, score={"calibration": 16}, threads=1)
found = sparsenas.search(make, data, out="here", **flags)
print(found.arch.text(), sparsenas.retrain("here", trust_plugins=["__main__:make", "__main__:data"], retrain={"epochs": 1}).network())
"""  # noqa: E501


def test_functions_of_a_notebook(tmp_path: Path) -> None:
    """Code of ``__main__`` that is in no file, as in a notebook."""
    done = subprocess.run(
        [sys.executable, "-c", NOTEBOOK], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert "Net(" in done.stdout


def in_a_process(out: Path) -> None:
    torch.manual_seed(0)
    x = torch.randn(60, 6)
    sparsenas.search(Net(), (x, x[:, :1]), objective="regression", out=out, **QUICK)


def test_from_a_loop_of_asyncio_and_a_spawned_process_alike(tmp_path: Path) -> None:
    async def waiting() -> None:
        await asyncio.to_thread(in_a_process, tmp_path / "thread")
        in_a_process(tmp_path / "loop")

    asyncio.run(waiting())
    process = multiprocessing.get_context("spawn").Process(target=in_a_process, args=(tmp_path / "process",))
    process.start()
    process.join(300)
    assert process.exitcode == 0
    files = [(tmp_path / name / "archs.jsonl").read_text() for name in ("thread", "loop", "process")]
    assert files[0] == files[1] == files[2]


def test_public_names_are_documented() -> None:
    for name in sparsenas.__all__:
        assert (getattr(sparsenas, name).__doc__ or "").strip(), name
    assert 30 <= len(sparsenas.__all__) <= 50


def test_a_plug_in_from_anything() -> None:
    assert plugin("method", "Spos").name == "spos"
    assert plugin("space", {"name": "tiny", "width": 4}).flags == {"width": 4}
    net = make()
    made = plugin("space", net).build("space")
    assert made is not net
    assert Arch.sample(choices(made), np.random.default_rng(0)).choices == choices(net)


def test_plugins_to_trust_are_named_as_python_takes_them() -> None:
    told = argument_names("to run their code, add --trust-plugins m:a --trust-plugins n.m:b; --search.lr is another")
    assert told == "to run their code, add trust_plugins=['m:a', 'n.m:b']; search.lr is another"


def test_command_lines_in_messages_stay_as_they_are() -> None:
    told = argument_names("--search.lr: `sparsenas retrain RUN --retrain.lr 1` or `--space open` on the command line")
    assert told == "search.lr: `sparsenas retrain RUN --retrain.lr 1` or `--space open` on the command line"
