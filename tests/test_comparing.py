"""The page of several runs: what stands side by side, of runs that differ in all ways and of unfinished ones."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.real_runs import RealRun
from tests.test_report import HOSTILE, Page, narrow

import sparsenas
from sparsenas.__main__ import main
from sparsenas.errors import UserError
from sparsenas.reporting.comparing import cells, effort, groups, named, scatters, warnings
from sparsenas.reporting.loading import load_run


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plotly.offline.get_plotlyjs", lambda: "/* plotly.js v0 */")


def read(run: Path, name: str) -> Any:
    return json.loads((run / name).read_text())


def change(run: Path, name: str, **changes: object) -> None:
    (run / name).write_text(json.dumps({**read(run, name), **changes}))


@pytest.fixture
def runs(real_run: RealRun, tmp_path: Path) -> list[Path]:
    """A whole run, one of the same space and folder name that found another architecture, and an unfinished one."""
    whole, other = (Path(shutil.copytree(real_run("spos"), tmp_path / part / "run")) for part in ("a", "b"))
    random = Path(shutil.copytree(real_run("random"), tmp_path / "random"))
    best = read(other, "best.json")
    changed = {"mb3": "mb5", "mb5": "mb3", "skip": "mb3"}
    arch = {name: changed.get(label, label) if name == "block1" else label for name, label in best["arch"].items()}
    change(other, "best.json", arch=arch, costs={**best["costs"], "flops": 1234567})
    (random / "best.json").unlink()
    return [whole, other, random]


def test_runs_stand_side_by_side(
    runs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    out = tmp_path / "compare.html"
    assert main(["compare", *map(str, runs), "--out", str(out), "--open"]) == 0
    assert capsys.readouterr() == (f"{out}\n", f"no browser was found; open {out} yourself\n")
    assert opened == [out.as_uri()]
    page = Page(out)
    for name in ("a/run", "b/run", f"{tmp_path.name}/random"):
        assert name in page.text
    assert "1 234 567" in page.text
    assert "flops<=60000" in page.text
    assert "1 of 6 choices differ" in page.text
    assert "No architecture has been found yet" in page.text
    (figure,) = page.charts.values()
    assert [len(each["x"]) for each in figure["data"]] == [1, 2, 1] * 2, "found, random and another, of two runs"
    assert figure["layout"]["yaxis"]["range"][1] <= 1
    assert [each["name"] for each in figure["data"] if each["showlegend"]] == ["a/run", "b/run"]


def test_numbers_are_those_of_the_runs(runs: list[Path]) -> None:
    whole, other, random = named([load_run(run) for run in runs])
    results = read(runs[0], "results.json")
    found, scores = (
        results["retrained"]["metrics"]["accuracy"],
        [b["metrics"]["accuracy"] for b in results["baselines"]],
    )
    name, shown, mean, best, original, inherited = map(narrow, cells(whole.run))
    assert (name, shown, original) == ("accuracy", f"{100 * found:.1f} %", "\u2013")
    assert mean.startswith(f"{50 * sum(scores):.1f} % \u00b1 ")
    assert mean.endswith(" (2)")
    assert best == f"{100 * max(scores):.1f} %"
    assert inherited == f"{100 * read(runs[0], 'best.json')['val']['accuracy']:.1f} %"
    assert cells(random.run)[1:] == ["\u2013"] * 5
    took = effort(whole.run)
    assert took.search is not None
    assert 0 < took.search < (took.whole or 0)
    assert took.candidates == len((runs[0] / "archs.jsonl").read_text().splitlines())
    (group,) = groups([whole, other, random])
    assert [one.name for one in group.runs] == ["a/run", "b/run"]
    assert [name for name, _ in group.different] == ["block1"]


def test_runs_of_different_tasks(runs: list[Path]) -> None:
    loaded = [load_run(run) for run in runs[:2]]
    assert warnings(named(loaded)) == []
    data, results = read(runs[1], "data.json"), read(runs[1], "results.json")
    change(runs[1], "data.json", score={"name": "rmse", "higher_is_better": False, "shares": []}, classes=[])
    errors = {**results["retrained"], "metrics": {"rmse": 0.25, "loss": 1.0}}
    change(runs[1], "results.json", retrained=errors, baselines=[], compared=[])
    assert data["score"]["name"] == "accuracy"
    every = named([load_run(run) for run in runs[:2]])
    assert list(scatters(every)) == ["accuracy", "rmse"]
    told = " ".join(warnings(every))
    assert "different scores: accuracy, rmse" in told
    assert "not of the same examples" in told
    for run, weights in zip(runs[:2], "ab", strict=True):
        change(run, "run.json", weights_sha256=weights)
    assert "not of the same original weights" in " ".join(warnings(named([load_run(run) for run in runs[:2]])))


def test_inherited_scores_of_several_methods_are_no_comparison(runs: list[Path]) -> None:
    told = "Scores on inherited weights are not comparable between methods"
    assert told not in " ".join(warnings(named([load_run(run) for run in runs])))
    for run in runs:
        (run / "results.json").unlink(missing_ok=True)
    assert told in " ".join(warnings(named([load_run(run) for run in runs])))
    assert told not in " ".join(warnings(named([load_run(run) for run in runs[:2]])))


def test_every_choice_is_listed_once(runs: list[Path], tmp_path: Path) -> None:
    def rows(names: list[str]) -> int:
        best, first = read(runs[1], "best.json"), read(runs[0], "best.json")
        change(runs[1], "best.json", arch={**best["arch"], **{name: first["arch"][name] for name in names}})
        return sparsenas.compare(*runs[:2], out=tmp_path / "page.html").read_text().count("block1</td>")

    choices = list(read(runs[0], "best.json")["arch"])
    for name in choices:
        options = next(one for one in read(runs[0], "choices.json")["choices"] if one["name"] == name)["options"]
        best, first = read(runs[1], "best.json"), read(runs[0], "best.json")
        other = next(label for label in options if label != first["arch"][name])
        change(runs[1], "best.json", arch={**best["arch"], name: other})
    assert rows([]) == 1, "all differ"
    assert rows([name for name in choices if name != "block1"]) == 2, "one differs"
    assert rows(choices) == 1, "none differs"


def test_pages_are_safe_and_mistakes_one_line(
    runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(runs[0], "best.json", text=HOSTILE)
    page = Page(sparsenas.compare(*runs[:2], out=tmp_path / "page.html"))
    assert not [tag for tag, attrs in page.tags if tag == "img" or "onerror" in attrs]
    for words, told in (
        ([runs[0]], "expected at least two run folders, got 1"),
        ([], "expected RUN, got none"),
        ([runs[0], tmp_path / "none"], f"{tmp_path / 'none'}: expected a run folder"),
    ):
        assert main(["compare", *map(str, words), "--out", str(tmp_path / "other.html")]) == 2
        assert told in capsys.readouterr().err
    with pytest.raises(UserError, match="expected a run folder, or what a search returned, got int"):
        sparsenas.compare(1, 2)  # type: ignore[arg-type]
    assert main(["compare", "--help"]) == 0
    assert capsys.readouterr().out.startswith("usage: sparsenas compare RUN RUN... [FLAGS]")
