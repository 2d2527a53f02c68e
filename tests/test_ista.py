"""ISTA-NAS: the identity its gradient rests on, hard budgets, and training that stops and goes on."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lightning_fabric import Fabric
from tests.nets import seeds
from torch import nn

from sparsenas.__main__ import main
from sparsenas.core.arch import Arch, every_arch
from sparsenas.core.derive import derive
from sparsenas.core.gate import choices, set_gates
from sparsenas.core.join import Join
from sparsenas.costs import CostTable, Limits
from sparsenas.costs.budget import Budget
from sparsenas.data import Data
from sparsenas.data.sources.digits import digits
from sparsenas.errors import UserError
from sparsenas.job.trained import load
from sparsenas.methods import Ista, IstaFlags, IstaOneStage, Method, OneStageFlags, Spos
from sparsenas.methods.constrained_argmax import best_arch_within_budget, sources
from sparsenas.methods.ista.codes import Code, draw_dictionary
from sparsenas.nn.blocks import conv_bn
from sparsenas.objectives import Classification
from sparsenas.rundir.checkpoint import Checkpoint
from sparsenas.rundir.folder import Run
from sparsenas.rundir.logger import RunLogger
from sparsenas.spaces import darts, nasbench_macro, tiny
from sparsenas.testing import check_method, shaken
from sparsenas.training.arch_optimizer import ArchOptimizer
from sparsenas.training.loops import train_supernet
from sparsenas.training.recipe import Recipe

SHAPE = (1, 8, 8)
PAIRS = "tests.test_ista:pairs"
TRUST = f"--trust-plugins={PAIRS}"


def pairs(width: int = 4) -> nn.Sequential:
    """Three layers that each keep two of five operations: small, and every answer of the same size."""

    def layer(name: str, inputs: int) -> Join:
        kernels = {f"k{kernel}": conv_bn(inputs, width, kernel, relu=False) for kernel in (1, 3, 5, 7, 9)}
        return Join.of(name, kernels, least=2, most=2)

    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10))
    return nn.Sequential(layer("a", 1), nn.ReLU(), layer("b", width), nn.ReLU(), layer("c", width), head)


TABLE = CostTable(pairs(), SHAPE)


def code(seed: int, n: int = 14) -> Code:
    rng = np.random.default_rng(seed)
    return Code(rng.random((7, n)), rng.standard_normal(7)).double()


@given(seeds, st.integers(2, 35))
@settings(deadline=None)
def test_weights_are_z_where_b_is_its_image(seed: int, n: int) -> None:
    node, rng = code(seed, n), np.random.default_rng(seed)
    picks = tuple(sorted(int(p) for p in rng.choice(n, 2, replace=False)))
    with torch.no_grad():
        node.solution.zero_()[list(picks)] = torch.tensor(rng.standard_normal(2))
        node.compressed.copy_(node.dictionary @ node.solution)
    node.fix_support(picks)
    torch.testing.assert_close(node.weights(), node.solution[list(picks)])
    a, z = node.dictionary, node.solution
    torch.testing.assert_close(a.T @ (a @ z) - (a.T @ a - torch.eye(n, dtype=torch.double)) @ z, z)


@given(seeds)
@settings(deadline=None)
def test_the_gradient_is_that_of_the_kept_columns(seed: int) -> None:
    node, rng = code(seed), np.random.default_rng(seed)
    node.solve(1e-5)
    picks = (2, 9)
    node.fix_support(picks)
    direction = torch.tensor(rng.standard_normal(2))
    node.weights().backward(direction)
    assert node.compressed.grad is not None
    torch.testing.assert_close(node.compressed.grad, node.dictionary[:, list(picks)] @ direction)
    assert torch.autograd.gradcheck(lambda b: (node.kept.T @ b - node.bias).sin().sum(), [node.compressed])


@given(seeds)
@settings(deadline=None, max_examples=20)
def test_exactly_the_strongest_of_z_run(seed: int) -> None:
    method = Ista(TABLE.choices, Limits(TABLE), seed)
    for name, gate in method.gates().items():
        _, node = next(pair for pair in method.codes.items() if pair[0] == name)
        order = np.argsort(-node.strengths(), kind="stable")
        assert gate.picks == tuple(sorted(order[:2])) == method.final().arch[name]
        assert gate.weights is not None
        assert gate.weights.shape == (2,)


@pytest.mark.parametrize("dictionary", ["uniform", "tight"])
def test_state_resumes_exactly(dictionary: str) -> None:
    flags = IstaFlags(dictionary)  # type: ignore[arg-type]
    check_method(lambda limits, seed: Ista(limits.choices, limits, seed, flags), Limits(TABLE))
    first, second = (Ista(TABLE.choices, Limits(TABLE), seed) for seed in (0, 1))
    second.load_state_dict(first.state_dict())
    for name, gate in first.gates().items():
        assert gate.weights is not None
        torch.testing.assert_close(second.gates()[name].weights, gate.weights, rtol=0, atol=0)


def test_a_tight_dictionary_is_one() -> None:
    a = draw_dictionary("tight", 7, 28, np.random.default_rng(0))
    np.testing.assert_allclose(a @ a.T, 4 * np.eye(7), atol=1e-3)
    np.testing.assert_allclose(np.linalg.norm(a, axis=0), 1)


def test_only_choices_of_fixed_size() -> None:
    net = nn.Sequential(Join.of("edge", {"x": nn.Conv2d(1, 4, 3), "y": nn.Conv2d(1, 4, 3)}, least=1, most=2))
    limits = Limits(CostTable(net, SHAPE))
    with pytest.raises(UserError, match="choice 'edge' keeps 1 to 2 options; ISTA-NAS needs choices of a fixed number"):
        Ista(limits.choices, limits, 0)


@pytest.mark.parametrize(
    ("flag", "value", "expected"),
    [
        ("dictionary", "round", "uniform or tight, got 'round'"),
        ("dimension", 0, ">= 1, got 0"),
        ("start", 0, "> 0, got 0"),
        ("lr", -0.1, ">= 0, got -0.1"),
    ],
)
def test_a_bad_flag_is_named_alone(flag: str, value: object, expected: str) -> None:
    for flags in (IstaFlags, OneStageFlags):
        with pytest.raises(UserError, match=f"^{flag}: expected {expected}$"):
            flags(**{flag: value})  # type: ignore[arg-type]
    with pytest.raises(UserError, match="^latest: expected 0 < latest <= 1, got 0$"):
        OneStageFlags(latest=0)


STRONG = st.floats(0.05, 0.95)


@given(seeds, STRONG)
@settings(deadline=None, max_examples=30)
def test_the_strongest_within_a_budget_is_found(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    strengths = {name: rng.standard_normal(len(c.options)) for name, c in TABLE.choices.items()}
    low, high = (int(TABLE([arch])["flops"][0]) for arch in TABLE.extremes("flops"))
    limits = Limits(TABLE, [Budget("flops", at_most=low + share * (high - low))])
    found = best_arch_within_budget(limits, strengths)
    archs = list(every_arch(TABLE.choices))
    sums = [sum(float(np.abs(strengths[n])[list(p)].sum()) for n, p in arch.items()) for arch in archs]
    best = max(s for s, legal in zip(sums, limits.legal(archs), strict=True) if legal)
    assert limits.legal([found])[0]
    assert sums[archs.index(found)] == pytest.approx(best)


def test_where_costs_do_not_add_up_the_budget_is_kept_all_the_same() -> None:
    table = CostTable(tiny(width=8, blocks=3), SHAPE)
    low, high = (int(table([arch])["flops"][0]) for arch in table.extremes("flops"))
    limits = Limits(table, [Budget("flops", low + 0.2 * (high - low), low + 0.4 * (high - low))])
    rng = np.random.default_rng(0)
    for _ in range(5):
        strengths = {name: rng.standard_normal(len(c.options)) for name, c in table.choices.items()}
        assert limits.legal([best_arch_within_budget(limits, strengths)])[0]


def few(data: Data, count: int = 128) -> Data:
    index = torch.arange(count)
    parts = {"train": data.train.subset(index), "val": data.val.subset(index[: count // 2 + 3])}
    return Data(data.classes, **parts, test=data.test, mean=data.mean, std=data.std)


DATA = few(digits())
RECIPE = Recipe(epochs=4, batch=32, lr=0.05)
FABRIC = Fabric(accelerator="cpu", devices=1)


def trained(out: Path, stop_after: int = 4, one_stage: bool = False) -> tuple[nn.Module, Method]:
    torch.manual_seed(0)
    net, run = pairs(), Run(out)
    if not out.exists():
        run.create()
    limits = Limits(TABLE)
    method = (
        IstaOneStage(choices(net), limits, 0, OneStageFlags(rest=0.4))
        if one_stage
        else Ista(choices(net), limits, 0, IstaFlags(lr=0.02))
    )
    end = method.end_epoch

    def interrupted(epoch: int) -> bool:
        if epoch == stop_after:
            raise KeyboardInterrupt
        return end(epoch)

    method.end_epoch = interrupted  # type: ignore[method-assign]
    train_supernet(
        FABRIC, net, method, DATA, Classification(10), RECIPE, 0, RunLogger(run), Checkpoint(run, "supernet", 0)
    )
    return net, method


@pytest.mark.parametrize("one_stage", [False, True])
def test_training_moves_b_and_resumes_exactly(one_stage: bool, tmp_path: Path) -> None:
    whole, method = trained(tmp_path / "whole", one_stage=one_stage)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "stopped", 2, one_stage)
    resumed, again = trained(tmp_path / "stopped", one_stage=one_stage)
    for expected, got in ((whole, resumed), (method, again)):
        for (name, value), other in zip(expected.state_dict().items(), got.state_dict().values(), strict=True):
            assert torch.equal(value, other) if isinstance(value, torch.Tensor) else value == other, name
    start = Ista(TABLE.choices, Limits(TABLE), 0)
    assert all(not torch.equal(p, q) for p, q in zip(start.parameters(), method.parameters(), strict=True))


def test_frozen_choices_stay_and_their_norms_learn() -> None:
    net = pairs()
    method = IstaOneStage(choices(net), Limits(TABLE), 0, OneStageFlags(lr=0.05))
    learning = ArchOptimizer(FABRIC, method)
    method.codes.freeze("b")
    before = copy.deepcopy(method.state_dict())
    frozen = method.gates()["b"]
    for epoch in range(10):
        learning.begin_epoch(net, 10)
        for module in net.modules():
            if isinstance(module, Join):
                norms = [norm for norm in module.ops.modules() if isinstance(norm, nn.BatchNorm2d)]
                assert all(p.requires_grad == (module.choice.name == "b") for n in norms for p in n.parameters())
        set_gates(net, learning.gates())
        net(torch.randn(8, *SHAPE)).square().mean().backward()
        learning.joint_step()
        assert not method.end_epoch(epoch)
        gate = method.gates()["b"]
        assert gate.picks == frozen.picks
        assert gate.weights is not None
        assert frozen.weights is not None
        assert torch.equal(gate.weights, frozen.weights)
    after = method.state_dict()
    same = {
        name for name, value in before.items() if isinstance(value, torch.Tensor) and torch.equal(value, after[name])
    }
    changing = {f"codes.each.{i}.{part}" for i in (0, 2) for part in ("compressed", "solution")}
    assert same == {name for name, value in before.items() if isinstance(value, torch.Tensor)} - changing


def test_what_rests_is_frozen_from_the_first_epoch_on() -> None:
    """And one more epoch is trained before the schedules begin, as the released code does."""
    method = IstaOneStage(TABLE.choices, Limits(TABLE), 0)
    assert not method.codes.frozen
    method.end_epoch(0)
    assert method.codes.frozen == set(TABLE.choices)
    assert method.architecture_fixed_at() == 2
    assert not any(gate.weights is None or gate.weights.requires_grad for gate in method.gates().values())


@pytest.mark.parametrize("make", [Ista, IstaOneStage])
def test_an_answer_that_is_the_start_says_so(make: type[Ista]) -> None:
    method = make(TABLE.choices, Limits(TABLE), 0)
    method.codes.solve()
    assert method.warning().endswith("no support ever changed.")
    node = next(code for _, code in method.codes.items())
    start = node.compressed.detach().clone()
    other = next(pick for pick in range(5) if pick not in method.codes.support()["a"])
    for end, expected in ((node.dictionary[:, other], ""), (start, "the supports came back to it.")):
        with torch.no_grad():
            node.compressed.copy_(end)
        method.codes.solve()
        assert method.warning().rpartition(": ")[2] == expected
        again = make(TABLE.choices, Limits(TABLE), 0)
        again.load_state_dict(method.state_dict())
        assert again.warning() == method.warning()


def test_a_choice_that_keeps_one_option_compares_it_with_the_next_strongest() -> None:
    table = CostTable(nasbench_macro(shape=SHAPE), SHAPE)
    for running, expected in ((1, 1), (2, 2), (3, 3), (9, 3)):
        method = Ista(table.choices, Limits(table), 0, IstaFlags(running=running))
        kept = method.final()
        for (name, gate), (_, code) in zip(method.gates().items(), method.codes.items(), strict=True):
            order = np.argsort(-code.strengths(), kind="stable")
            assert gate.picks == tuple(sorted(order[:expected]))
            assert kept.arch[name] == kept.gates[name].picks == (order[0],)
            assert gate.weights is not None
            assert gate.weights.shape == (expected,)
            assert kept.gates[name].weights == gate.weights[gate.picks.index(order[0])]


def test_supports_without_entries_are_told() -> None:
    method = Ista(TABLE.choices, Limits(TABLE), 0)
    assert "z is 0" not in method.warning()
    with torch.no_grad():
        next(code for _, code in method.codes.items()).compressed.zero_()
    method.codes.solve()
    assert "In 1 of 3 choices z is 0" in method.warning()


def test_log_and_result_say_that_the_answer_is_the_start(tmp_path: Path) -> None:
    flags = [f"--space={PAIRS}", "--space.shape=1,8,8", "--method=ista", "--method.lr=1e-9", "--search.epochs=1"]
    assert main(["search", *flags, "--accelerator=cpu", "--out", str(tmp_path / "run")]) == 0
    warning = json.loads((tmp_path / "run" / "best.json").read_text())["warning"]
    assert "random start" in warning
    assert warning in (tmp_path / "run" / "log.jsonl").read_text()


@pytest.mark.parametrize("epochs", [8, 20])
def test_what_never_rests_is_frozen_in_time(epochs: int) -> None:
    method = IstaOneStage(TABLE.choices, Limits(TABLE), 0, OneStageFlags(latest=0.5), epochs)
    for epoch in range(epochs):
        assert (len(method.codes.frozen) == len(TABLE.choices)) == (epoch + 1 >= epochs / 2)
        with torch.no_grad():
            for _, node in method.codes.items():
                node.compressed.mul_(2)
        method.end_epoch(epoch)
    assert method.architecture_fixed_at() == epochs / 2


def test_a_budget_does_not_displace_what_is_frozen() -> None:
    low, high = (int(TABLE([arch])["flops"][0]) for arch in TABLE.extremes("flops"))
    limits = Limits(TABLE, [Budget("flops", at_most=(low + high) / 2)])
    for seed in range(10):
        method, rng = IstaOneStage(TABLE.choices, limits, seed), np.random.default_rng(seed)
        kept = method.final().arch["c"]
        method.codes.freeze("c")
        for name, node in method.codes.items():
            if name != "c":
                with torch.no_grad():
                    node.compressed.copy_(torch.tensor(rng.standard_normal(len(node.compressed))))
        method.end_epoch(0)
        assert method.final().arch["c"] == kept
        assert limits.legal([method.final().arch])[0]


def test_held_out_images_do_not_train_weights() -> None:
    net = pairs()
    method = Ista(choices(net), Limits(TABLE), 0)
    learning = ArchOptimizer(FABRIC, method)
    set_gates(net, method.gates())
    before = [parameter.detach().clone() for parameter in method.parameters()]
    learning.bilevel_step(net(torch.randn(8, *SHAPE)).square().mean())
    assert all(p.grad is None for p in net.parameters())
    assert not any(torch.equal(p, q) for p, q in zip(before, method.parameters(), strict=True))
    assert all(gate.weights is not None and not gate.weights.requires_grad for gate in learning.gates().values())


def test_a_method_that_learns_nothing_takes_no_steps() -> None:
    learning = ArchOptimizer(FABRIC, Spos(TABLE.choices, Limits(TABLE), 0))
    assert not learning.bilevel
    assert not learning.parts()
    assert list(learning.batches(DATA.val, 8, 0)) == []


def test_the_found_network_is_tested_as_it_was_trained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "run")
    flags = [f"--space={PAIRS}", "--space.shape=1,8,8", "--method=ista", "--method.lr=0.02"]
    assert main(["search", *flags, "--search.epochs=3", "--accelerator=cpu", "--budget=flops<=40k", "--out", out]) == 0
    best = json.loads((tmp_path / "run" / "best.json").read_text())
    assert best["costs"]["flops"] <= 40_000
    assert all(len(weights) == 2 for weights in best["weights"].values())
    capsys.readouterr()
    assert main(["evaluate", out, "--arch", "found", "--split", "val", "--json", "--accelerator=cpu", TRUST]) == 0
    marks = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert marks["accuracy"] == best["val"]["accuracy"]
    assert marks["loss"] == pytest.approx(best["val"]["loss"], rel=1e-4)


@pytest.mark.parametrize("space", [tiny(width=4, blocks=3), nasbench_macro(shape=SHAPE)], ids=["tiny", "macro"])
def test_choices_of_one_option(space: nn.Module) -> None:
    table = CostTable(space, SHAPE)
    method = Ista(table.choices, Limits(table), 0)
    set_gates(space.train(), method.gates())
    x = torch.randn(4, *SHAPE)
    space(x).square().mean().backward()
    read = {m.choice.name for m in space.modules() if isinstance(m, Join)}
    learned = {name for name, node in method.codes.items() if node.compressed.grad is not None}
    assert learned == read
    plain = derive(space.eval(), method.gates())
    torch.testing.assert_close(plain(x), space(x), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("training", [False, True])
def test_the_absorbed_network_is_the_supernet(training: bool) -> None:
    torch.manual_seed(0)
    shape = (3, 16, 16)
    net = shaken(darts(width=4, cells=3, closing_norms="all", affine=True, shape=shape))
    method = IstaOneStage(choices(net), Limits(CostTable(net, shape)), 0, OneStageFlags(start=1.0))
    gates = method.gates()
    signs = torch.cat([gate.weights.detach() for gate in gates.values() if gate.weights is not None])
    assert (signs < 0).any()
    assert (signs > 0).any()
    plain, x = derive(net, gates).train(training), torch.randn(16, *shape)
    set_gates(net.train(training), gates)
    with torch.no_grad():
        expected, got = net(x), plain(x)
    assert float((expected - got).abs().max()) <= 1e-5 * float(expected.abs().max())
    assert derive(net, method.final().arch.gates()).state_dict().keys() == plain.state_dict().keys()


ONE_STAGE = [
    *(f"--space={PAIRS}", "--space.shape=1,8,8", "--method=ista_one_stage", "--method.lr=0.05"),
    *("--search.epochs=4", "--accelerator=cpu", "--threads=1"),
]


@pytest.fixture(scope="module")
def one_stage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole job in one stage."""
    out = tmp_path_factory.mktemp("one-stage") / "run"
    assert main(["run", *ONE_STAGE, "--retrain.epochs=1", "--baselines=1", "--out", str(out)]) == 0
    return out


def test_one_stage_ends_in_the_trained_network(one_stage: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = json.loads((one_stage / "results.json").read_text())
    assert results["retrained"]["one_stage"]
    assert "inherited" not in results
    assert "val" not in json.loads((one_stage / "best.json").read_text())
    log = [json.loads(line) for line in (one_stage / "log.jsonl").read_text().splitlines()]
    assert {line["stage"] for line in log} >= {"supernet", "baselines", "export"}
    assert "retrain" not in {line["stage"] for line in log}
    capsys.readouterr()
    assert main(["evaluate", str(one_stage), "--json", "--accelerator=cpu", TRUST]) == 0
    assert (
        json.loads(capsys.readouterr().out.splitlines()[-1])["accuracy"] == results["retrained"]["metrics"]["accuracy"]
    )
    assert "trained in one stage" in (one_stage / "report.html").read_text()


def test_its_network_is_the_supernet_with_the_codes_absorbed(one_stage: Path) -> None:
    net, state = pairs(), Run(one_stage).load("supernet.pt")
    net.load_state_dict(state["net"])
    method = IstaOneStage(choices(net), Limits(TABLE), 0, epochs=4)
    method.load_state_dict(state["method"])
    assert method.architecture_fixed_at() == 2
    gates = method.gates()
    assert not any(gate.weights is None or gate.weights.requires_grad for gate in gates.values())
    set_gates(net.eval(), gates)
    x, plain = torch.randn(16, *SHAPE), load(one_stage, [PAIRS])
    torch.testing.assert_close(plain(x), net(x), rtol=1e-5, atol=1e-5)
    set_gates(net.train(), gates)
    torch.testing.assert_close(plain.train()(x), net(x), rtol=1e-5, atol=1e-5)


def test_the_log_tells_of_every_recovery(one_stage: Path) -> None:
    log = [json.loads(line) for line in (one_stage / "log.jsonl").read_text().splitlines()]
    lines = [line for line in log if line["stage"] == "supernet" and "epoch" in line]
    assert [line["method"]["codes"]["frozen"] for line in lines if "method" in line][-1] == ["a", "b", "c"]
    assert len(lines) == 4
    assert sum("method" in line for line in lines) == 1  # then all are frozen: an epoch before the rate falls
    for codes in (line["method"]["codes"] for line in lines if "method" in line):
        assert codes["kept"].keys() == codes["gap"].keys() == codes["residual"].keys() == codes["moved"].keys()
        assert all(codes["residual"][name] <= codes["gap"][name] for name in codes["gap"])
        assert codes["displaced"] == []
    rates = [line["lr"] for line in lines]
    assert rates[0] == rates[1] > rates[2] > rates[3]


def test_supports_that_a_budget_displaces_are_told() -> None:
    low, high = (int(TABLE([arch])["flops"][0]) for arch in TABLE.extremes("flops"))
    told = [Ista(TABLE.choices, Limits(TABLE, [Budget("flops", at_most=low)]), seed).facts() for seed in range(5)]
    assert all(facts["codes"]["displaced"] for facts in told)
    free = Ista(TABLE.choices, Limits(TABLE, [Budget("flops", at_most=high)]), 0).facts()
    assert not free["codes"]["displaced"]


def test_one_stage_trains_on_all_images_and_has_no_other_size(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained(tmp_path / "run", one_stage=True)
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert lines[-1]["step"] == 4 * ((len(DATA.train) + len(DATA.val)) // 32)
    assert main(["run", *ONE_STAGE, "--target.width=6", "--out", str(tmp_path / "other")]) == 2
    assert "--target: ista_one_stage trains the found network itself" in capsys.readouterr().err


def test_networks_may_be_trained_at_another_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "run")
    flags = [f"--space={PAIRS}", "--space.shape=1,8,8", "--method=ista", "--method.lr=0.02"]
    flags += ["--search.epochs=1", "--accelerator=cpu", "--target.width=6"]
    low, high = (int(CostTable(pairs(6), SHAPE).exact(arch)["params"]) for arch in TABLE.extremes("params"))
    assert main(["search", *flags, f"--budget=params<={(low + high) // 2}", "--out", out]) == 0
    best = json.loads((tmp_path / "run" / "best.json").read_text())
    arch = Arch.from_json(TABLE.choices, best["arch"])
    assert best["costs"]["params"] == CostTable(pairs(6), SHAPE).exact(arch)["params"]
    again = ["retrain", out, "--retrain.epochs=1", "--accelerator=cpu", TRUST]
    assert main(again) == 0
    assert sum(p.numel() for p in load(out, [PAIRS]).parameters()) == best["costs"]["params"]
    assert main([*again, "--target.width=5"]) == 0
    smaller = sum(p.numel() for p in load(out, [PAIRS]).parameters())
    assert smaller == CostTable(pairs(5), SHAPE).exact(arch)["params"]
    assert json.loads((tmp_path / "run" / "best.json").read_text())["costs"]["params"] == smaller
    assert main(["export", out, TRUST]) == 0
    capsys.readouterr()
    assert main([*again, "--target.width=60"]) == 2
    assert "params<=" in capsys.readouterr().err
    assert main(["retrain", out, "--inherit=true", "--accelerator=cpu", TRUST]) == 2
    assert "--inherit: expected no --target" in capsys.readouterr().err


def test_a_target_leaves_the_choices_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", "--space=tiny", "--space.blocks=3", "--target.blocks=4", "--out", str(tmp_path / "x")]) == 2
    assert "--target: expected flags that leave the choices" in capsys.readouterr().err


@pytest.fixture(scope="module")
def cells() -> CostTable:
    """The costs of the smallest cells."""
    return CostTable(darts(width=2, cells=3), (3, 8, 8))


def read(table: CostTable, name: str, picks: tuple[int, ...]) -> set[int]:
    return {sources(table.choices[name])[pick] for pick in picks}


@given(seed=seeds, share=st.none() | STRONG)
@settings(deadline=None, max_examples=15)
def test_nodes_may_be_asked_to_read_distinct_sources(cells: CostTable, seed: int, share: float | None) -> None:
    rng = np.random.default_rng(seed)
    strengths = {name: rng.standard_normal(len(c.options)) for name, c in cells.choices.items()}
    groups = {name: sources(choice) for name, choice in cells.choices.items()}
    low, high = (int(cells([arch])["params"][0]) for arch in cells.extremes("params"))
    budgets = [] if share is None else [Budget("params", at_most=low + (0.1 + 0.9 * share) * (high - low))]
    limits = Limits(cells, budgets)
    found = best_arch_within_budget(limits, strengths, groups=groups)
    assert limits.legal([found])[0]
    assert all(len(read(cells, name, picks)) == 2 for name, picks in found.items())
    if share is None:  # by trying all pairs
        for name, choice in cells.choices.items():
            pairs = (picks for picks in choice.every() if len(read(cells, name, picks)) == 2)
            strongest = max(pairs, key=lambda picks: float(np.abs(strengths[name])[list(picks)].sum()))
            assert found[name] == strongest


def test_the_flag_for_distinct_sources(cells: CostTable) -> None:
    free, apart = (
        Ista(cells.choices, Limits(cells), 1, IstaFlags(start=1.0, distinct_sources=flag)) for flag in (False, True)
    )
    assert all(len(read(cells, name, picks)) == 2 for name, picks in apart.final().arch.items())
    assert any(len(read(cells, name, picks)) == 1 for name, picks in free.final().arch.items())
    assert not apart.facts()["codes"]["displaced"]
    with pytest.raises(UserError, match="expected options such as 1:skip_connect, choice 'a' has 'k1'"):
        Ista(TABLE.choices, Limits(TABLE), 0, IstaFlags(distinct_sources=True))
