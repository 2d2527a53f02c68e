"""The page of several runs: runs that differ only in their seeds, and networks that were trained in other ways."""

from __future__ import annotations

import json
import shutil
import statistics
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.real_runs import RealRun
from tests.test_report import Page, narrow

import sparsenas
from sparsenas.reporting.comparing import named, warnings
from sparsenas.reporting.loading import load_run
from sparsenas.reporting.seeds import SeedGroup, seed_groups

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


def told(runs: list[Path]) -> list[str]:
    return warnings(named([load_run(run) for run in runs]))


def test_seeds_stand_together(runs: list[Path], tmp_path: Path) -> None:
    other = Path(shutil.copytree(runs[0], tmp_path / "other"))
    change(other, budget=["flops<=50e3"])
    order = [runs[0], other, *runs[1:]]
    first, second = grouped(order)
    assert [one.name for one in first.runs] == ["seed0", "seed1", "seed2"]
    assert [one.name for one in second.runs] == ["other"]
    assert second.summary == []
    name, score, found, *rest = map(narrow, first.summary)
    assert name == "mean \u00b1 deviation over 3 seeds (0, 1, 2)"
    assert score == "accuracy"
    deviation = 100 * statistics.stdev(ACCURACIES)
    assert found == f"{100 * statistics.fmean(ACCURACIES):.1f} % \u00b1 {deviation:.1f} points"
    assert len(rest) == 4
    assert rest[0].endswith(" \u00b1 0.00 points"), "the random networks are the same"
    assert rest[2] == "\u2013", "there is no original"
    page = Page(sparsenas.compare(*order, out=tmp_path / "page.html"))
    assert name in page.text
    assert page.text.index("seed2 spos") < page.text.index(name) < page.text.index("other spos")


def test_what_is_not_known_does_not_count(runs: list[Path]) -> None:
    (runs[0] / "results.json").unlink()
    (group,) = grouped(runs)
    assert narrow(group.summary[2]) == "94.5 % \u00b1 3.5 points (2 seeds)"
    (runs[1] / "results.json").unlink()
    (group,) = grouped(runs)
    assert group.summary[2] == "\u2013"


def test_the_same_seed_twice_has_no_deviation(runs: list[Path]) -> None:
    change(runs[1], seed=0)
    (group,) = grouped(runs)
    assert group.summary == []


def test_other_trainings_are_told(runs: list[Path], tmp_path: Path) -> None:
    ends = ", so their scores are not comparable."
    assert told(runs) == []
    change(runs[1], lr=0.5)
    assert told(runs) == [f"The found networks were trained with different settings (lr){ends}"]
    change(runs[2], epochs=60)
    lengths = "different numbers of epochs (seed0: 2, seed1: 2, seed2: 60)"
    assert told(runs) == [f"The found networks were trained for {lengths}{ends}"]
    assert f"{lengths}{ends}" in Page(sparsenas.compare(*runs, out=tmp_path / "page.html")).text
    assert len(grouped(runs)) == 3
    reach(runs[1], 0.9, inherit=True)
    (sentence,) = told(runs)
    assert "seed1: retrained from inherited weights" in sentence
    for run in runs[1:]:
        (run / "results.json").unlink()
    assert told(runs) == [], "only tested networks have scores to compare"
