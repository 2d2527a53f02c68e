"""The page of several runs: what stands side by side, of runs that differ in all ways and of unfinished ones."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.real_runs import RealRun
from tests.test_report import HOSTILE, Page, narrow

import sparsenas
from sparsenas.__main__ import main
from sparsenas.errors import UserError
from sparsenas.reporting.colours import SERIES
from sparsenas.reporting.comparing import effort, groups, warnings
from sparsenas.reporting.loading import load_run
from sparsenas.reporting.scatter import looks, scatters, tail
from sparsenas.reporting.seeds import named
from sparsenas.reporting.side_by_side import cells


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
    assert [len(each["x"]) for each in figure["data"]] == [4, 2, 2], "random, other and found ones of two runs"
    assert figure["layout"]["yaxis"]["range"][1] <= 1
    assert page.text.count("spos, 2 runs") == 1, "the same run twice has no deviation, but a look of its own"


def test_numbers_are_those_of_the_runs(runs: list[Path]) -> None:
    whole, other, random = named([load_run(run) for run in runs])
    results = read(runs[0], "results.json")
    found, scores = (
        results["retrained"]["metrics"]["accuracy"],
        [b["metrics"]["accuracy"] for b in results["baselines"]],
    )
    shown, random_ones, gain, original, inherited = cells([whole.run])
    assert [narrow(shown.text), original.text] == [f"{100 * found:.1f} %", "\u2013"]
    assert narrow(random_ones.text).startswith(f"{50 * sum(scores):.1f} % \u00b1 ")
    assert narrow(random_ones.more) == f"2 networks, best {100 * max(scores):.1f} %"
    assert gain.more == "too few to tell"
    assert narrow(inherited.text) == f"{100 * read(runs[0], 'best.json')['val']['accuracy']:.1f} %"
    assert {cell.text for cell in cells([random.run])} == {"\u2013"}
    took = effort(whole.run)
    assert took.search is not None
    assert 0 < took.search < (took.whole or 0)
    assert took.candidates == len((runs[0] / "archs.jsonl").read_text().splitlines())
    (group,) = groups([whole, other, random])
    assert group.names == ["a/run", "b/run"]
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


def test_the_mark_of_a_line_is_that_of_its_sentence(runs: list[Path], tmp_path: Path) -> None:
    """Too few random networks, more of them that are as good, better and worse, and a budget that is not met."""

    def told(accuracy: float, others: list[float], flops: int = 50_000) -> tuple[str | None, str]:
        results, best = read(runs[0], "results.json"), read(runs[0], "best.json")
        baselines = [
            {"text": str(i), "arch": {}, "costs": {}, "metrics": {"accuracy": x, "loss": 1.0}}
            for i, x in enumerate(others)
        ]
        retrained = {**results["retrained"], "metrics": {"accuracy": accuracy, "loss": 1.0}}
        change(runs[0], "results.json", retrained=retrained, baselines=baselines)
        change(runs[0], "best.json", costs={**best["costs"], "flops": flops})
        text = sparsenas.compare(*runs[:2], out=tmp_path / "page.html").read_text()
        found = re.search(r'<li class="(\w+)">(a/run: .*?)</li>', text)
        assert found is not None
        return found.group(1), narrow(found.group(2))

    mark, text = told(0.98, [0.5, 0.5])
    assert mark == "open"
    assert text.endswith(
        "within budget. 2 random architectures of about the same cost have 50.0 % and 50.0 %: too few to compare with."
    )
    mark, text = told(0.98, [])
    assert mark == "open"
    assert text.endswith("Not yet compared with random architectures: no random architectures were trained.")
    assert told(0.98, [0.97, 0.975, 0.985])[0] == "open"
    assert told(0.98, [0.97, 0.975, 0.985])[1].endswith("the mean of 3 random architectures, which may be chance.")
    assert told(0.98, [0.8, 0.81, 0.82])[0] == "good"
    assert told(0.8, [0.97, 0.975, 0.985])[0] == "bad"
    assert told(0.98, [0.8, 0.81], flops=10**9) == (
        "bad",
        "a/run: The found network reaches 98.0 % accuracy on the test set, over its budget.",
    )


def test_equal_architectures_are_told(runs: list[Path], tmp_path: Path) -> None:
    sentence = "a/run and b/run found the same architecture."
    assert sentence not in Page(sparsenas.compare(*runs, out=tmp_path / "page.html")).text
    change(runs[1], "best.json", arch=read(runs[0], "best.json")["arch"])
    page = Page(sparsenas.compare(*runs, out=tmp_path / "page.html"))
    assert sentence in page.text
    assert "choices differ" not in page.text
    assert groups(named([load_run(run) for run in runs]))[0].names == ["a/run, b/run"]


def test_a_dead_random_network_does_not_squash_the_others(runs: list[Path], tmp_path: Path) -> None:
    results = read(runs[0], "results.json")
    dead = {**results["baselines"][0], "metrics": {"accuracy": 0.1, "loss": 9.0}}
    change(runs[0], "results.json", baselines=[dead, *results["baselines"][1:]])
    page = Page(sparsenas.compare(*runs[:2], out=tmp_path / "page.html"))
    (figure,) = page.charts.values()
    low, high = figure["layout"]["yaxis"]["range"]
    assert 0.1 < low < high <= 1
    assert all(low < y <= high for each in figure["data"] for y in each["y"])
    assert f"at the edge of the axis as triangles: a/run, random {dead['text']}: 10.0 %." in page.text
    assert figure["data"][0]["marker"]["symbol"].count("triangle-down") == 1


@given(st.lists(st.floats(0, 1), max_size=12), st.lists(st.floats(0, 1), max_size=3))
def test_what_an_axis_leaves_out(others: list[float], found: list[float]) -> None:
    ordered = sorted(others + found)
    few = tail(ordered, found)
    assert few <= len(ordered) // 3
    if few:
        out, rest = ordered[:few], ordered[few:]
        assert max(out) < min([*rest, *found])
        assert rest[-1] - rest[0] < (rest[-1] - out[-1]) / 2, "the others would fill less than half of the axis"


def test_many_runs_are_told_apart() -> None:
    every = looks(18)
    assert len({(look.colour, look.symbols["found"]) for look in every}) == 18
    assert len({(look.colour, look.symbols["random"]) for look in every}) == 18
    assert len({(look.colour, look.character) for look in every}) == 18


@pytest.mark.parametrize("missing", ["none", "red", "green"])
def test_the_colour_blind_tell_the_colours_apart(missing: str) -> None:
    """By the simulation of Vienot, Brettel and Mollon (1999), and the distance in CIE L*a*b*."""
    rgb = np.array([[int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)] for colour in SERIES])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = {
        "none": np.eye(3),
        "red": np.array([[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]]),
        "green": np.array([[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]]),
    }[missing]
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = (linear @ seen.T).clip(0, 1) @ to_xyz.T / [0.9505, 1, 1.089]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    lab = np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], 1)
    distances = np.linalg.norm(lab[:, None] - lab[None], axis=2) + 1e9 * np.eye(len(lab))
    assert distances.min() > 15
    assert all((lab[:, 0] > 25) & (lab[:, 0] < 80)), "seen on white and on dark pages"
