"""The page of several runs: runs that differ only in their seeds, and networks that were trained in other ways."""

from __future__ import annotations

import json
import re
import shutil
import statistics
from pathlib import Path
from typing import Any

import pytest
import yaml
from scipy import stats
from tests.real_runs import RealRun
from tests.test_report import Page, narrow

import sparsenas
from sparsenas.reporting.comparing import warnings
from sparsenas.reporting.differences import differences
from sparsenas.reporting.findings import Finding
from sparsenas.reporting.loading import load_run
from sparsenas.reporting.seeds import SeedGroup, labels, named, seed_groups
from sparsenas.reporting.side_by_side import cells, told

ACCURACIES = (0.90, 0.92, 0.97)


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plotly.offline.get_plotlyjs", lambda: "/* plotly.js v0 */")


def change(run: Path, **changes: Any) -> None:
    """Changes flags of a run; ``epochs`` and ``lr`` are those of its retraining."""
    config = yaml.safe_load((run / "config.yaml").read_text())
    recipe = {name: changes.pop(name) for name in ("epochs", "lr") if name in changes}
    config["retrain"] |= recipe
    (run / "config.yaml").write_text(yaml.safe_dump({**config, **changes}))


def bound(run: Path, flops: int) -> None:
    """Changes the budget of a run."""
    change(run, budget=[f"flops<={flops}"])
    best = json.loads((run / "best.json").read_text())
    (run / "best.json").write_text(json.dumps({**best, "budgets": [f"flops<={flops}"]}))


def reach(run: Path, accuracy: float, **changes: Any) -> None:
    """Gives the found network another accuracy, and perhaps another way of its training."""
    results = json.loads((run / "results.json").read_text())
    results["retrained"] |= {"metrics": {"accuracy": accuracy, "loss": 1.0}, **changes}
    (run / "results.json").write_text(json.dumps(results))


@pytest.fixture
def runs(real_run: RealRun, tmp_path: Path) -> list[Path]:
    """Three seeds of one run."""
    made = [Path(shutil.copytree(real_run("spos"), tmp_path / f"seed{seed}")) for seed in range(3)]
    for seed, (run, accuracy) in enumerate(zip(made, ACCURACIES, strict=True)):
        change(run, seed=seed, threads=seed)
        reach(run, accuracy)
    return made


def grouped(runs: list[Path]) -> list[SeedGroup]:
    return seed_groups(named([load_run(run) for run in runs]))


def against(runs: list[Path]) -> list[Finding]:
    groups = grouped(runs)
    return differences(groups, labels(groups))


def warned(runs: list[Path]) -> list[str]:
    return warnings(named([load_run(run) for run in runs]))


def test_seeds_stand_together(runs: list[Path], tmp_path: Path) -> None:
    other = Path(shutil.copytree(runs[0], tmp_path / "other"))
    bound(other, 50_000)
    order = [runs[0], other, *runs[1:]]
    first, second = grouped(order)
    assert [one.name for one in first.runs] == ["seed0", "seed1", "seed2"]
    assert [one.name for one in second.runs] == ["other"]
    assert first.several
    assert not second.several
    found, random, gain, original, _ = cells([one.run for one in first.runs])
    deviation = 100 * statistics.stdev(ACCURACIES)
    assert narrow(found.text) == f"{100 * statistics.fmean(ACCURACIES):.1f} % \u00b1 {deviation:.1f} points"
    assert found.more == original.more == ""
    assert narrow(random.more).startswith("2 networks, best"), "the random networks are the same"
    assert gain.text == original.text == "\u2013", "two random networks are too few, and there is no original"
    assert labels([first, second]) == ["spos, flops<=60000", "spos, flops<=50000"]
    assert told(first, "x")[0].text.endswith("2 random architectures of all seeds are too few to compare with.")
    page = Page(sparsenas.compare(*order, out=tmp_path / "page.html"))
    name = "spos, flops<=60000 mean \u00b1 deviation over 3 seeds (0, 1, 2)"
    assert page.text.index(name) < page.text.index("seed2 seed 2") < page.text.index("other spos, flops<=50000")


@pytest.mark.parametrize(("random", "mark"), [([0.8, 0.82, 0.84, 0.83], "good"), ([0.9, 0.95, 0.8, 0.96], "open")])
def test_the_gap_over_seeds_has_an_interval(runs: list[Path], random: list[float], mark: str) -> None:
    results = json.loads((runs[1] / "results.json").read_text())
    first = results["baselines"][0]
    results["baselines"] = [{**first, "text": str(x), "metrics": {"accuracy": x, "loss": 1.0}} for x in random]
    (runs[1] / "results.json").write_text(json.dumps(results))
    for run in (runs[0], runs[2]):
        other = json.loads((run / "results.json").read_text())
        (run / "results.json").write_text(json.dumps({**other, "baselines": []}))
    (group,) = grouped(runs)
    gain, test = cells([one.run for one in group.runs])[2], stats.ttest_ind(ACCURACIES, random, equal_var=False)
    low, high = (100 * x for x in test.confidence_interval(0.95))
    numbers = [float(x) for x in re.findall(r"[+-]\d+\.\d+", f"{gain.text} {gain.more}".replace("\u2212", "-"))]
    margin = 100 * (statistics.fmean(ACCURACIES) - statistics.fmean(random))
    assert numbers == pytest.approx([margin, low, high], abs=0.05)
    (together,) = told(group, "spos")
    assert gain.mark == together.mark == mark
    assert together.text.startswith("spos, 3 seeds: on average ")
    assert together.text.endswith("which may be chance.") == (mark == "open")


@pytest.mark.parametrize(
    ("others", "mark", "sentence"),
    [
        ((0.85, 0.86, 0.92), "good", "spos found better networks than random, by 5.3 points on average over the same"),
        ((0.95, 0.92, 0.91), "open", "spos found better networks than random, by 0.33 points on average over the same"),
        ((0.97, 0.92, 0.90), "open", "spos and random found equally good networks on average."),
    ],
)
def test_methods_against_each_other(
    runs: list[Path], tmp_path: Path, others: tuple[float, ...], mark: str, sentence: str
) -> None:
    for seed, accuracy in enumerate(others):
        other = Path(shutil.copytree(runs[seed], tmp_path / f"other{seed}"))
        change(other, method="random")
        reach(other, accuracy)
        runs.append(other)
    alone = Path(shutil.copytree(runs[0], tmp_path / "alone"))
    change(alone, method="ista")
    first, second = against([*runs, alone])
    assert first.mark == mark
    assert narrow(first.text).startswith(sentence)
    assert second.text == "One seed tells too little to compare methods: ista."
    if "equally" not in sentence:
        interval = stats.ttest_rel(ACCURACIES, others).confidence_interval(0.95)
        numbers = [float(x) for x in re.findall(r"[+-]\d+\.\d+", first.text.replace("\u2212", "-"))]
        assert numbers == pytest.approx([100 * x for x in interval], rel=0.02)
    assert first.text in Page(sparsenas.compare(*runs, alone, out=tmp_path / "page.html")).text
    change(runs[0], lr=0.5)
    assert len(against(runs)) == 2, "spos of two seeds; the third had another rate"
    for run in runs[3:]:
        bound(run, 50_000)
    assert not [one for one in against(runs) if "better" in one.text]


def test_a_difference_in_cost_is_told_with_that_in_accuracy(runs: list[Path], tmp_path: Path) -> None:
    for seed in range(3):
        other = Path(shutil.copytree(runs[seed], tmp_path / f"other{seed}"))
        change(other, method="random")
        reach(other, 0.5)
        best = json.loads((other / "best.json").read_text())
        best["costs"]["flops"] *= 1.25
        (other / "best.json").write_text(json.dumps(best))
        runs.append(other)
    (finding,) = against(runs)
    assert finding.text.endswith("). They have 20% fewer multiply-adds.")
    best["costs"]["flops"] = 0.0
    (other / "best.json").write_text(json.dumps(best))
    assert against(runs)[0].text.endswith(")."), "where one is not known no mean is"


def test_what_is_not_known_does_not_count(runs: list[Path]) -> None:
    for missing, found, more in ((0, "94.5 % \u00b1 3.5 points", "2 of 3 seeds"), (1, "97.0 %", "1 of 3 seeds")):
        (runs[missing] / "results.json").unlink()
        (first, *_) = cells([load_run(run) for run in runs])
        assert (narrow(first.text), first.more) == (found, more)


def test_the_same_seed_twice_has_no_deviation(runs: list[Path]) -> None:
    change(runs[1], seed=0)
    (group,) = grouped(runs)
    assert not group.several


def test_other_trainings_are_told(runs: list[Path], tmp_path: Path) -> None:
    ends = ", so their scores are not comparable."
    assert warned(runs) == []
    change(runs[1], lr=0.5)
    assert warned(runs) == [f"The found networks were trained with different settings (lr){ends}"]
    change(runs[2], epochs=60)
    lengths = "different numbers of epochs (2: seed0, seed1; 60: seed2)"
    assert warned(runs) == [f"The found networks were trained for {lengths}{ends}"]
    assert f"{lengths}{ends}" in Page(sparsenas.compare(*runs, out=tmp_path / "page.html")).text
    assert len(grouped(runs)) == 3
    reach(runs[1], 0.9, inherit=True)
    (sentence,) = warned(runs)
    assert "(retrained: seed0, seed2; retrained from inherited weights: seed1)" in sentence
    for run in runs[1:]:
        (run / "results.json").unlink()
    assert warned(runs) == [], "only tested networks have scores to compare"
