"""A found network is made as wide as limits allow, and trained so."""

from __future__ import annotations

import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nets import seeds
from sparsenas.__main__ import main
from sparsenas.core.arch import Arch
from sparsenas.core.gate import set_gates
from sparsenas.costs import COSTS, trace
from sparsenas.errors import UserError
from sparsenas.job.folder import open_task
from sparsenas.job.plugin import Plugin
from sparsenas.job.stages.compare import BANDS, random_band
from sparsenas.job.task import Task, make_task
from sparsenas.job.trained import found, load
from sparsenas.job.width_fit import WIDE, check_scale_to, check_target, fitted, widest
from sparsenas.nn.auxiliary_head import Deep, WithAuxiliary
from sparsenas.reporting import report
from sparsenas.spaces import dso
from sparsenas.training.recipe import Recipe

SHAPE = (1, 8, 8)
SPACE = {"depth": 1, "share": True}
CPU = torch.device("cpu")
WIDTHS = range(2, 10)


def task(space: Plugin | None = None, target: dict[str, Any] | None = None) -> Task:
    return make_task(
        space or Plugin("dso", {"width": 4, **SPACE}), Plugin("digits"), Plugin("classification"), [], 0, CPU, target
    )


TASK = task()
at = cache(lambda width: dso(width=width, **SPACE, shape=SHAPE))


def costs_at(width: int, arch: Arch) -> dict[str, float]:
    """The costs of the network of an architecture at a width, from a trace of it."""
    set_gates(at(width), arch.gates())
    layers = trace(at(width), SHAPE)
    return {name: sum(map(cost, layers)) for name, cost in COSTS.items()}


@given(st.integers(1, 200), st.integers(1, 50), st.integers(0, 500))
def test_the_widest_is_found(least: int, steps: int, most: int) -> None:
    assert widest(lambda width: width <= least + most, least) == least + most


def test_what_nothing_stops_has_no_widest() -> None:
    assert widest(lambda width: True, 3) is None
    assert widest(lambda width: width <= WIDE // 2, 1) == WIDE // 2


@given(seeds, st.sampled_from([("params",), ("flops",), ("memory_access",), ("params", "flops")]))
@settings(max_examples=3)
def test_the_width_is_the_largest_that_keeps_the_limits(seed: int, costs: tuple[str, ...]) -> None:
    """The reference tries every width."""
    rng = np.random.default_rng(seed)
    arch = Arch.sample(TASK.choices, rng)
    exact = {width: costs_at(width, arch) for width in WIDTHS}
    limits = {cost: int(rng.integers(exact[2][cost], exact[WIDTHS[-2]][cost])) for cost in costs}
    expected = max(w for w, each in exact.items() if all(each[cost] <= limits[cost] for cost in costs))
    fits = fitted(TASK, arch, [f"{cost}<={limit}" for cost, limit in limits.items()])
    assert fits.target == Plugin("dso", {**SPACE, "width": expected})
    assert fits.costs(arch) == exact[expected]
    assert all(fits.costs(arch)[cost] <= limit for cost, limit in limits.items())
    plain = fits.plain(arch, "test")
    assert sum(p.numel() for p in plain.parameters()) == exact[expected]["params"]
    assert fits.space == TASK.space


def test_other_flags_of_the_target_stay() -> None:
    base = task(target={"dropout": 0.4})
    arch = TASK.limits.table.fullest
    assert fitted(base, arch, ["params<=20e3"]).target.flags["dropout"] == 0.4


def test_random_networks_are_in_the_band_of_what_was_fitted() -> None:
    arch = Arch.sample(TASK.choices, np.random.default_rng(3))
    fits = fitted(TASK, arch, ["params<=9e3"])
    cost = fits.costs(arch)["params"]
    others = random_band(fits, arch, 3)
    assert len(others) == 3
    for other in others:
        assert (1 - BANDS[1]) * cost <= fits.costs(other)["params"] <= min(9e3, (1 + BANDS[1]) * cost)


def test_random_networks_cost_no_more_than_one_far_below_its_budget() -> None:
    space = Plugin("tiny", {"width": 8, "blocks": 3})
    wide = make_task(space, Plugin("digits"), Plugin("classification"), ["params<=1e6"], 0, CPU)
    arch = Arch.sample(wide.choices, np.random.default_rng(3))
    cost = wide.costs(arch)["params"]
    others = [wide.costs(other)["params"] for other in random_band(wide, arch, 3)]
    assert len(others) == 3
    assert all(abs(other - cost) <= BANDS[1] * cost for other in others)


def test_random_networks_are_of_the_second_band_only_where_the_first_has_too_few() -> None:
    small = make_task(Plugin("tiny", {"width": 8, "blocks": 2}), Plugin("digits"), Plugin("classification"), [], 0, CPU)
    arch = Arch.sample(small.choices, np.random.default_rng(3))
    cost = small.costs(arch)["params"]

    def shares(count: int, bands: tuple[float, ...]) -> list[float]:
        return [abs(small.costs(other)["params"] / cost - 1) for other in random_band(small, arch, count, bands)]

    near = len(shares(9, (0.02,)))
    assert 0 < near < 9
    both = shares(9, (0.02, 0.2))
    assert len(both) > near
    assert max(both[:near]) <= 0.02 < min(both[near:]) <= max(both) <= 0.2


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        (["params<=10"], r"--scale-to params<=10: even the narrowest network, of width 2, has [\d,]+ params"),
        (["params>=10"], "--scale-to: expected an upper limit, as in params<=3e6, got params>=10"),
        (["params<3"], "--scale-to 'params<3': expected COST<=NUMBER"),
        (["size<=3"], "--scale-to 'size<=3': expected one of the costs flops"),
        (
            ["params<=9e3", "flops>=1e9"],
            "--scale-to flops>=1000000000: the widest network that keeps the upper limits",
        ),
        (["bitops<=9"], "--scale-to: expected limits that grow with the width, a width of 16384 keeps bitops<=9"),
    ],
)
def test_limits_that_cannot_be_fitted(limits: list[str], expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        fitted(TASK, TASK.limits.table.fullest, limits)


def test_mistakes_are_told_before_anything_trains() -> None:
    check_scale_to(TASK, ["params<=9e3"])
    check_target({"dropout": 0.4})
    with pytest.raises(
        UserError, match=r"--target.width: expected none beside --scale-to, which finds the width, got 9"
    ):
        check_target({"width": 9})
    with pytest.raises(
        UserError, match=r"--scale-to params<=10: even the narrowest network, of width 2, has [\d,]+ params"
    ):
        check_scale_to(TASK, ["params<=10"])
    with pytest.raises(UserError, match=r"--scale-to: expected a space with a flag --space.width, nasbench_macro has "):
        check_scale_to(task(Plugin("nasbench_macro")), ["params<=9e3"])


def test_one_stage_has_the_size_of_its_search(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    flags = ["--space=tests.test_ista:pairs", "--space.shape=1,8,8", "--method=ista_one_stage", "--search.epochs=1"]
    assert main(["run", *flags, "--scale-to=params<=9e3", "--accelerator=cpu", "--out", str(tmp_path / "run")]) == 2
    assert "--scale-to: expected none, since ista_one_stage trains the found network itself" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


FLAGS = [
    *("--space=dso", "--space.width=4", "--space.depth=1", "--space.share=true", "--method=dso", "--search.epochs=2"),
    *("--search.batch=512", "--retrain.batch=512", "--budget=flops<=200e3", "--baselines=1", "--accelerator=cpu"),
    *("--retrain.schedule=restarts", "--retrain.lr_end=1e-4", "--retrain.drop_path=0.5", "--retrain.auxiliary=0.4"),
    *("--retrain.cutout=2", "--target.dropout=0.4", "--retrain.epochs=2", "--checkpoint_seconds=0.5"),
]


def read(path: Path) -> Any:
    return json.loads(path.read_text())


@pytest.mark.usefixtures("unexported")
def test_a_run_fits_and_ends_the_same_after_a_kill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the paper's recipe; and the network may be fitted again, or trained at a size of one's own."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    flags = [*FLAGS, "--scale-to=params<=12e3", "--scale-to=flops<=9e6"]
    rate = Recipe.drop_path_at

    def dies(self: Recipe, epoch: int, since: int = 0) -> float:
        if self.drop_path > 0 and epoch == 1:
            raise KeyboardInterrupt
        return rate(self, epoch, since)

    monkeypatch.setattr(Recipe, "drop_path_at", dies)
    assert main(["run", *flags, "--out", str(killed)]) == 130
    monkeypatch.setattr(Recipe, "drop_path_at", rate)
    assert not (killed / "net.pt").exists()
    shutil.copytree(killed, whole, ignore=shutil.ignore_patterns("checkpoint*"))  # all training of the found network
    assert main(["run", "--resume", "--out", str(whole)]) == 0
    assert main(["run", "--resume", "--out", str(killed)]) == 0
    for file in ("best.json", "net.json"):
        assert (whole / file).read_bytes() == (killed / file).read_bytes()
    ours, theirs = (torch.load(run / "net.pt", weights_only=True) for run in (whole, killed))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())

    best, how = read(whole / "best.json"), read(whole / "net.json")
    assert how["scale_to"] == best["scale_to"] == ["params<=12e3", "flops<=9e6"]
    assert how["target"]["dropout"] == 0.4
    folder, opened, *_ = open_task(whole, CPU)
    assert [str(budget) for budget in opened.limits.budgets] == ["params<=12000", "flops<=9000000"]
    assert opened.target.flags["width"] == how["target"]["width"] > 4
    assert opened.costs(found(folder, opened.choices)) == best["costs"]
    assert best["costs"]["params"] <= 12e3
    net = load(whole)
    assert sum(p.numel() for p in net.parameters()) == best["costs"]["params"]
    assert isinstance(net, Deep)
    assert [len(output) for output in WithAuxiliary(net).train()(torch.randn(4, *SHAPE))] == [4, 4]
    other = read(whole / "results.json")["baselines"][0]["costs"]
    assert all(0.9 * best["costs"][cost] <= other[cost] <= most for cost, most in (("params", 12e3), ("flops", 9e6)))
    assert "params, budget \u2264 12" in report(whole).read_text()

    again = ["retrain", str(whole), "--retrain.epochs=1", "--retrain.batch=512", "--accelerator=cpu"]
    capsys.readouterr()
    before = {path: path.read_bytes() for path in whole.iterdir() if path.is_file()}
    for wrong in (["--inherit=true"], ["--no-training"], ["--target.width=3"]):
        assert main([*again, "--scale-to=params<=6e3", *wrong]) == 2
        assert "--scale-to" in capsys.readouterr().err
    assert main([*again, "--scale-to=params<=6"]) == 2
    assert "even the narrowest network" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in whole.iterdir() if path.is_file()} == before
    assert main([*again, "--scale-to=params<=6e3"]) == 0
    narrower = sum(p.numel() for p in load(whole).parameters())
    assert narrower == read(whole / "best.json")["costs"]["params"] <= 6e3
    assert read(whole / "net.json")["target"]["dropout"] == 0.4
    assert main([*again, "--target.width=2"]) == 0
    assert read(whole / "net.json") == {"target": {"width": 2}}
    assert "scale_to" not in read(whole / "best.json")
