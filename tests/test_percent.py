"""Budgets in percent of the largest network: resolved once, met, kept as written, shown in numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import sparsenas
from sparsenas import Join, UserError
from sparsenas.__main__ import main
from sparsenas.costs import Budget, CostTable, parse_budgets
from sparsenas.costs.budget import Bound, join_bounds, read_bounds
from sparsenas.costs.ends import budgets_at, smallest_and_largest
from sparsenas.job.folder import open_task
from sparsenas.reporting.numbers import count
from sparsenas.rundir.config import read_config
from sparsenas.rundir.folder import Run
from sparsenas.rundir.records import Best
from sparsenas.spaces import tiny

SHORT = ["--threads=1", "--accelerator=cpu", "--search.epochs=1", "--space.width=4", "--space.blocks=2"]
LARGEST = {"flops": 9000, "params": 400, "latency_ms": 0.75, "none": 0}


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("flops<=50%", Budget("flops", at_most=4500)),
        ("flops >= 33.3 %", Budget("flops", at_least=2997)),
        ("params<=33%", Budget("params", at_most=132)),
        ("params<=0.3%", Budget("params", at_most=1)),
        ("params>=0.3%", Budget("params", at_least=2)),
        ("params>=100%", Budget("params", at_least=400)),
        ("latency_ms<=50%", Budget("latency_ms", at_most=0.375)),
    ],
)
def test_percentages_are_of_the_largest_network(text: str, budget: Budget) -> None:
    assert Bound.parse(text, LARGEST).budget(LARGEST) == budget


@given(st.integers(1, 10**12), st.floats(1e-3, 100))
def test_whole_numbers_within_a_percentage_stay_within_it(whole: int, percent: float) -> None:
    ones = read_bounds(["flops<=1%", "flops>=1%"])
    upper, lower = (one._replace(value=percent).budget({"flops": whole}) for one in ones)
    assert upper.at_most <= whole * percent / 100 <= lower.at_least
    assert lower.at_least - upper.at_most <= 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("flops<=0%", "expected more than 0 and at most 100 % of the largest network, got 0 %"),
        ("flops<=101%", "at most 100 % of the largest network, got 101 %"),
        ("flops<=50k%", "expected COST<=NUMBER"),
        ("flops<=%", "expected COST<=NUMBER"),
        ("flop<=50%", "expected one of the costs"),
        ("none<=50%", "expected a number, since the largest network has 0 none"),
    ],
)
def test_other_percentages_are_refused(text: str, told: str) -> None:
    with pytest.raises(UserError, match="--budget") as caught:
        join_bounds(read_bounds([text], LARGEST), LARGEST)
    assert told in str(caught.value)
    assert repr(text) in str(caught.value)


def test_percentages_join_with_numbers() -> None:
    bounds = read_bounds(["flops<=50%", "flops<=4e3", "flops>=40%"], LARGEST)
    assert join_bounds(bounds, LARGEST) == [Budget("flops", 3600, 4000)]
    with pytest.raises(UserError, match="flops cannot be >= 5400 and <= 4500 at once"):
        join_bounds(read_bounds(["flops<=50%", "flops>=60%"], LARGEST), LARGEST)
    with pytest.raises(UserError, match="percentages are for --budget"):
        parse_budgets(["flops<=50%"])


def test_the_largest_network_is_that_of_the_space() -> None:
    table = CostTable(tiny(), (1, 8, 8))
    whole = table.exact(smallest_and_largest(table)[1])
    budgets = budgets_at(table, read_bounds(["flops<=50%", "params>=10%"]))
    assert budgets == [
        Budget("flops", at_most=whole["flops"] // 2),
        Budget("params", at_least=-(-whole["params"] // 10)),
    ]


def flops(path: Path) -> tuple[float, float]:
    """The largest network's and the found network's."""
    task = open_task(path, torch.device("cpu")).task
    largest = task.costs(smallest_and_largest(task.limits.table)[1])["flops"]
    return largest, Run(path).read(Best).costs["flops"]


def test_a_search_in_percent_and_another_one_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, again = tmp_path / "run", tmp_path / "again"
    (tmp_path / "budget.yaml").write_text("budget: [flops<=50%, flops>=35%]\n")
    flags = [*SHORT, "--method.generations=0", "--out", str(out), "--config", str(tmp_path / "budget.yaml")]
    assert main(["search", *flags]) == 0
    whole, found = flops(out)
    assert 0.35 * whole <= found <= 0.5 * whole
    budget = f"flops>={-(-35 * whole // 100):.0f} and flops<={whole // 2:.0f}"
    assert f"budget flops<=50%, flops>=35%: {budget}" in capsys.readouterr().err
    assert Run(out).read(Best).budgets == [budget]
    assert read_config(Run(out))["budget"] == ["flops<=50%", "flops>=35%"]
    assert main(["search", *flags, "--resume"]) == 0
    assert main(["search", *flags, "--resume", "--budget", f"flops<={whole // 2:.0f}"]) == 2
    evolve = ["evolve", str(out), *SHORT[:2], "--budget=flops<=40%", "--budget=params<=90%", "--out", str(again)]
    assert main([*evolve, "--method.generations=1", "--pareto=flops"]) == 0
    assert flops(again)[1] <= 0.4 * whole
    page = (again / "report.html").read_text()
    assert count(whole * 40 // 100) in page


def test_the_numbers_of_a_search_stay_at_another_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    flags = [*SHORT, "--method.generations=0", "--budget=flops<=50%", "--out", str(out)]
    assert main(["search", *flags]) == 0
    budget = Run(out).read(Best).budgets[0]
    assert main(["retrain", str(out), *SHORT[:2], "--retrain.epochs=1", "--target.width=16"]) == 2
    assert f"--budget {budget}: this space reaches" in capsys.readouterr().err


@pytest.mark.parametrize("method", ["ista", "random"])
def test_other_methods_take_percentages(method: str, tmp_path: Path) -> None:
    flags = [*SHORT, f"--method={method}", "--budget=flops<=60%", "--out", str(tmp_path / "run")]
    more = ["--data.val_share=0.5"] if method == "ista" else ["--method.evaluations=10"]
    assert main(["search", *flags, *more]) == 0
    whole, found = flops(tmp_path / "run")
    assert 0 < found <= 0.6 * whole


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--budget=flops<=0%"], "--budget 'flops<=0%': expected more than 0"),
        (["--budget=latency_ms<=50%"], "expected --latency FILE as well"),
        (["--budget=bitops<=50%"], "expected a number, since the largest network has 0 bitops"),
        (["--budget=flops<=0.1%"], "this space reaches"),
        (["--scale-to=params<=50%"], "--scale-to 'params<=50%': expected a number"),
    ],
)
def test_mistakes_are_told_before_anything_is_written(
    flags: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", *SHORT, *flags, "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_percentages_in_python() -> None:
    net = nn.Sequential(
        nn.Linear(4, 8), Join.of("more", {"yes": nn.Linear(8, 8), "no": nn.Identity()}), nn.Linear(8, 1)
    )
    found = sparsenas.evolve(
        net, "params<=60%", score=lambda one: sum(p.numel() for p in one.parameters()), example=(4,)
    )
    assert found.costs["params"] == 49
    assert sparsenas.method("spos", net, (4,), ["flops<=90%", "params<=99%"]).limits.budgets[0].at_most == 93
