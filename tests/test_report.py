"""The report: made from the files of real runs, however many of them there are, and safe whatever is in them."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
import shutil
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
from msgspec.structs import replace as changed
from tests.real_runs import RealRun

import sparsenas.reporting
from sparsenas.__main__ import main
from sparsenas.costs.budget import Budget
from sparsenas.errors import UserError
from sparsenas.job.stages.finish import summary
from sparsenas.methods import METHODS
from sparsenas.objectives.classification import Classification
from sparsenas.reporting import report
from sparsenas.reporting.charts import best_so_far
from sparsenas.reporting.document import html as page_of
from sparsenas.reporting.findings import comparison, conclusion, findings, tiles
from sparsenas.reporting.loading import LoadedRun, load_run
from sparsenas.reporting.numbers import count, decimals, mebibytes, percent, points, seconds, several, short
from sparsenas.reporting.tables import settings
from sparsenas.rundir.folder import Run
from sparsenas.rundir.log import EpochEnd
from sparsenas.rundir.records import MeasuredCandidate, Scored
from sparsenas.rundir.results import Compared, Evaluation, ExportCheck, Results, TableError, Usage, update_results
from sparsenas.spaces import SPACES

HOSTILE = '<script>alert("1")</script>&amp;<img src=http://evil.example/x onerror=alert(2)>'
RUNS = ("spos", "random", "ista", "ista_one_stage", "dso", "front", "ranked")
every_run = pytest.mark.parametrize("name", RUNS)


class Page(HTMLParser):
    """Tags, attributes and visible text of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.scripts: list[str] = []
        self.inside = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.inside = tag

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside == "script":
            self.scripts.append(data)
        elif self.inside != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return narrow(" ".join(" ".join(self.words).split()))

    @property
    def charts(self) -> dict[str, dict[str, Any]]:
        """The charts by what they are called for those who cannot see them."""
        names = [str(attrs["aria-label"]) for tag, attrs in self.tags if attrs.get("class") == "chart"]
        return dict(zip(names, (json.loads(s) for s in self.scripts if s.startswith("{")), strict=True))


def narrow(text: str) -> str:
    return text.replace("\u202f", " ")


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of 40 kB instead of 5 MB, except after ``monkeypatch.undo()``."""
    monkeypatch.setattr("plotly.offline.get_plotlyjs", lambda: "/* plotly.js v0 */")


@pytest.fixture
def spos(real_run: RealRun, tmp_path: Path) -> Path:
    """A copy of a complete run, to change."""
    return Path(shutil.copytree(real_run("spos"), tmp_path / "run"))


def reported(run: Path) -> Page:
    return Page(report(run))


def said(run: LoadedRun) -> dict[str, str]:
    """The findings by mark, joined."""
    marks: dict[str, str] = {"good": "", "bad": "", "open": ""}
    for finding in findings(run):
        marks[finding.mark] += narrow(finding.text) + "\n"
    return marks


def test_the_page_opens_in_the_browser_only_where_asked_for(
    spos: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda address: not opened.append(address) and len(opened) == 1)
    for words in ([], ["--open"], ["--open"]):
        assert main(["report", str(spos), *words]) == 0
    assert opened == [(spos / "report.html").resolve().as_uri()] * 2
    assert capsys.readouterr().err == f"no browser was found; open {spos / 'report.html'} yourself\n"


# Reports of real runs


@every_run
def test_reports_of_real_runs(real_run: RealRun, name: str) -> None:
    """What every method leaves is shown: the method's own figures, drawings, and what has been done so far."""
    run = real_run(name)
    loaded, page = load_run(run), Page(run / "report.html")
    assert loaded.damaged == []
    assert loaded.best is not None
    for cost, value in loaded.best.costs.items():
        assert cost == "bitops" or f"{cost} " in page.text
        assert cost == "bitops" or narrow(count(value)) in page.text
    assert "--search.epochs" in page.text
    assert loaded.best.text[:40] in page.text
    for told in page.charts.values():
        go.Figure(told)  # raises what is no valid figure
    shown = sum(tag == "li" and attrs.get("class") == "kept" for tag, attrs in page.tags)
    assert shown == sum(1 if isinstance(kept, str) else len(kept) for kept in loaded.best.arch.values())
    assert ("Nothing has been evaluated yet." in page.text) == (
        loaded.best.val is None and not loaded.results.retrained
    )


def test_complete_run(real_run: RealRun) -> None:
    run, page = load_run(real_run("spos")), Page(real_run("spos") / "report.html")
    assert run.results.retrained is not None
    assert narrow(percent(run.results.retrained.metrics["accuracy"])) in page.text
    assert narrow(conclusion(run).text) in page.text
    for snippet in ("torch.export.load", "onnxruntime.InferenceSession", "sparsenas.load", "conv3", "10 classes"):
        assert snippet in page.text
    assert list(page.charts) == [
        "Accuracy of the found network and of random architectures",
        "Examples of each class",
        "Score against flops of every candidate",
        "Best score against the number of candidates scored",
        "Training loss by epoch",
        "Training accuracy by epoch",
    ]
    assert [entry.name for entry in run.results.compared] == ["000000"]
    assert "(000000)" in page.text
    assert not [path.name for path in real_run("spos").iterdir() if path.name.startswith(".")]


@every_run
def test_axes_of_accuracies_end_at_100_percent(real_run: RealRun, name: str) -> None:
    for chart in Page(real_run(name) / "report.html").charts.values():
        for axis, values in (("xaxis", "x"), ("yaxis", "y")):
            if "accuracy" in chart["layout"][axis]["title"]["text"]:
                low, high = chart["layout"][axis]["range"]
                shown = [value for trace in chart["data"] for value in trace[values]]
                assert 0 <= low <= min(shown) <= max(shown) <= high <= 1


def test_confusion_is_that_of_the_test_images(real_run: RealRun) -> None:
    run, page = load_run(real_run("spos")), Page(real_run("spos") / "report.html")
    assert run.results.retrained is not None
    assert run.data is not None
    counts = np.array(run.results.retrained.confusion)
    assert counts.sum(1).tolist() == run.data.parts["test"]
    assert np.trace(counts) / counts.sum() == run.results.retrained.metrics["accuracy"]
    shares = [attrs["style"] for tag, attrs in page.tags if tag == "td" and "style" in attrs]
    assert shares == [f"--share:{n / row.sum():.3f}" for row in counts for n in row]
    worst = int((counts - np.diag(np.diag(counts))).max())
    assert f"Rows are true classes, columns predicted classes. {' '.join(map(str, range(10)))}" in page.text
    assert re.search(rf"true class predicted class examples \d \d {worst} ", page.text)


def test_figures_of_a_method_are_drawn_from_the_log_alone(real_run: RealRun) -> None:
    expected = {
        "ista": ["choices", "mean distance"],
        "dso": ["left of all blocks", "share of the complete network", "penalty"],
        "ista_one_stage": ["choices", "mean distance"],
        "spos": [],
    }
    for name, quantities in expected.items():
        run, page = load_run(real_run(name)), Page(real_run(name) / "report.html")
        epochs = run.training["supernet"]
        assert [told.removesuffix(" by epoch") for told in page.charts if told.endswith(" by epoch")][
            : len(quantities)
        ] == quantities
        for quantity in quantities:
            for trace in page.charts[f"{quantity} by epoch"]["data"]:
                logged = [line.figures[quantity][trace["name"]] for line in epochs if quantity in line.figures]
                assert trace["y"] == logged
        assert epochs[-1].summary in page.text
        assert bool(epochs[-1].summary) == bool(quantities)


def test_cells_and_blocks_are_drawn(real_run: RealRun) -> None:
    page = Page(real_run("ista") / "report.html")
    named = [attrs["aria-label"] or "" for tag, attrs in page.tags if tag == "svg"]
    assert [name.partition(":")[0] for name in named] == ["normal", "reduce"]
    assert "In the usual notation Genotype(normal=[" in page.text
    blocks = [attrs["aria-label"] or "" for tag, attrs in Page(real_run("dso") / "report.html").tags if tag == "svg"]
    assert [name.partition(":")[0] for name in blocks] == ["stage1.block1", "stage2.block1", "stage3.block1"]
    assert not [tag for tag, _ in Page(real_run("spos") / "report.html").tags if tag == "svg"]


def test_front_over_all_candidates(real_run: RealRun) -> None:
    run, page = load_run(real_run("front")), Page(real_run("front") / "report.html")
    assert run.front is not None
    named = {trace["name"]: trace for trace in page.charts["Score against flops of every candidate"]["data"]}
    assert named["front"]["x"] == [point.costs["flops"] for point in run.front.points] == sorted(named["front"]["x"])
    assert named["front"]["y"] == [point.metrics["accuracy"] for point in run.front.points]
    assert len(named["candidates"]["x"]) == len(run.candidates)
    share = run.front.hypervolume / run.front.reference[1]
    several_points = several(len(run.front.points), "architecture")
    told = f"The front of accuracy against flops: {several_points}; its hypervolume is {narrow(percent(share))} of"
    assert told in page.text
    assert all(point.text in page.text for point in run.front.points)


def test_front_of_another_cost_than_the_budget(real_run: RealRun, tmp_path: Path) -> None:
    run = Path(shutil.copytree(real_run("front"), tmp_path / "run"))
    front = json.loads((run / "front.json").read_text())
    (run / "front.json").write_text(json.dumps({**front, "cost": "params"}))
    names = [name for name in reported(run).charts if name.startswith("Score against")]
    assert names == ["Score against params of every candidate", "Score against flops of every candidate"]


def test_evolution_against_random_search(real_run: RealRun) -> None:
    run, page = load_run(real_run("spos")), Page(real_run("spos") / "report.html")
    ours, random = page.charts["Best score against the number of candidates scored"]["data"]
    assert (ours["name"], random["name"]) == ("spos", "random search")
    for trace, scored in ((ours, run.candidates), (random, run.random)):
        scores = [line.metrics["accuracy"] for line in scored]
        assert (trace["x"][-1], trace["y"][-1]) == (len(scores), max(scores))
        assert trace["y"] == [max(scores[:x]) for x in trace["x"]]
    assert "After 8 evaluations each the best score is " in page.text


def test_ranking(real_run: RealRun, tmp_path: Path) -> None:
    run, page = load_run(real_run("ranked")), Page(real_run("ranked") / "report.html")
    assert run.ranking is not None
    every, found = page.charts["Score with inherited weights against true accuracy"]["data"]
    assert sorted(every["text"]) == sorted(run.ranking.truth)
    assert every["y"] == [run.ranking.truth[text] for text in every["text"]]
    scores = {line.text: line.metrics["accuracy"] for line in run.ranked if line.calibration == 64}
    assert every["x"] == [scores[text] for text in every["text"]]
    assert run.best is not None
    assert found["text"] == [text for text in run.ranking.truth if text == run.best.text]
    main, flops = (
        next(m for m in run.ranking.measures if (m.by, m.calibration) == by)
        for by in (("accuracy", 64), ("flops", None))
    )
    agreed = (
        f"Kendall tau {decimals(main.all.tau)}, Spearman rho {decimals(main.all.rho)} ({main.all.rows} architectures)"
    )
    assert agreed in page.text
    better = "better" if (main.distinct.tau or 0) > (flops.distinct.tau or 0) else "no better"
    assert f"ranks them {better} than the number of multiply-adds does: tau {main.distinct.tau:.3f} by" in page.text


def test_a_ranking_is_told_by_the_score_that_decides(real_run: RealRun, tmp_path: Path) -> None:
    run = load_run(real_run("ranked"))
    assert run.ranking is not None
    other = changed(run.ranking.measures[0], by="loss, shrunk", calibration=64)
    other = changed(other, distinct=replace(other.distinct, tau=0.812))
    ranking = changed(run.ranking, measures=[*run.ranking.measures, other])
    config = {**run.config, "score": {"calibration": 64, "by": "loss", "shrink": 0.5}}
    assert "tau 0.812 by loss, shrunk against" in page_of(replace(run, ranking=ranking, config=config))
    nothing = changed(ranking, measures=[changed(other, distinct=replace(other.distinct, tau=None))])
    assert "than the number of multiply-adds" not in page_of(replace(run, ranking=nothing, ranked=[]))


# One page, whatever is there


def test_one_file_that_loads_nothing(spos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    page = reported(spos)
    for tag, attributes in page.tags:
        assert tag not in {"link", "iframe", "object", "embed", "base"}
        for name, value in attributes.items():
            if tag == "img" and name == "src":
                assert re.fullmatch(r"data:image/png;base64,[A-Za-z0-9+/=]+", value or "")
                continue
            if name in {"src", "href", "srcset", "data", "action", "poster", "xlink:href"}:
                assert (value or "").startswith("#"), (tag, name, value)
    html = (spos / "report.html").read_text(encoding="utf-8")
    assert html.count("plotly.js v") == 1
    assert "@import" not in html[: html.index("</style>")]
    assert "url(" not in html[: html.index("</style>")]


def test_the_browser_may_run_the_two_scripts_of_the_page_only(spos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    text = report(spos).read_text(encoding="utf-8")
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    rules = dict(rule.split(" ", 1) for rule in policy.replace("&#39;", "'").split("; "))
    assert rules["default-src"] == "'none'"
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    assert rules["script-src"] == " ".join(f"'sha256-{value}'" for value in hashes)
    assert len(scripts) == 2


def test_every_link_leads_to_a_section(real_run: RealRun) -> None:
    page = Page(real_run("ranked") / "report.html")
    links = [attrs["href"] or "" for tag, attrs in page.tags if tag == "a"]
    sections = [f"#{attrs['id']}" for tag, attrs in page.tags if tag == "section"]
    assert sections == ["#result", *links]
    assert len(links) == 10
    assert all(attrs.get("aria-label") for _, attrs in page.tags if attrs.get("role") == "img")


FILES = ("choices.json", "data.json", "log.jsonl", "archs.jsonl", "random.jsonl", "best.json", "results.json")


@pytest.mark.parametrize("most", range(len(FILES) + 1))
def test_partial_folders(spos: Path, tmp_path: Path, most: int) -> None:
    run = tmp_path / "partial"
    run.mkdir()
    for name in ("config.yaml", "run.json", *FILES[:most]):
        shutil.copy(spos / name, run / name)
    text = reported(run).text
    expected = {
        "The choices of the space have not been written yet.": most < 1,
        "The search has not started.": most < 3,
        "Nothing has been trained yet.": most < 3,
        "No stage has been run yet.": most < 3,
        "No candidates have been scored": most < 4,
        "No architecture has been found yet": most < 6,
        "There is no found network to count yet.": most < 6,
        "Nothing has been evaluated yet.": most < 6,
        "has not been tested yet": most == 6,
        "has not been exported yet": True,
        "--search.epochs": True,
    }
    assert {words: words in text for words in expected} == expected


def test_unfinished_search(spos: Path) -> None:
    run = load_run(spos)
    lines = [line for line in run.log if isinstance(line, EpochEnd)][:1]
    early = replace(run, log=[*lines], best=None, results=Results(), candidates=[], random=[])
    assert "last trained: supernet, epoch 1 of 2" in said(early)["open"]
    assert "supernet (not finished: epoch 1 of 2)" in page_of(early)


def test_folder_that_is_no_run(spos: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"expected a run folder with config\.yaml"):
        report(tmp_path)
    for text, expected in (
        ("{", r"best\.json: expected JSON"),
        ("[]", r"best\.json: expected an object of named values"),
    ):
        (spos / "best.json").write_text(text)
        with pytest.raises(UserError, match=expected):
            report(spos)


def test_torn_and_damaged_lines(spos: Path) -> None:
    whole = load_run(spos)
    for file in ("log.jsonl", "archs.jsonl"):
        with (spos / file).open("a") as out:
            out.write('{"stage": "retr')
    torn = load_run(spos)
    assert (torn.log, torn.candidates, torn.damaged) == (whole.log, whole.candidates, [])
    with (spos / "log.jsonl").open("a") as out:
        out.write('{"stage": "retrain"}\n{"stage": "late", "event": "note", "message": "kept"}\n')
    assert len(load_run(spos).log) == len(whole.log) + 1
    text = reported(spos).text
    assert "late: kept" in text
    assert "A line that cannot be read is left out: " in text
    assert "log.jsonl, line" in text


def test_nothing_is_left_when_writing_fails(spos: Path) -> None:
    before = {path.name for path in spos.iterdir()}
    (spos / "report.html").unlink()
    (spos / "report.html").mkdir()
    with pytest.raises(UserError, match=r"report\.html: cannot be written"):
        report(spos)
    assert {path.name for path in spos.iterdir()} == before


# Findings


def compared(accuracy: float) -> Compared:
    return Compared(text="0", arch={}, costs={}, metrics={"accuracy": accuracy, "loss": 0.2})


@pytest.fixture
def finished(real_run: RealRun) -> LoadedRun:
    """A run of eight random architectures with accuracies that are known, of 4000 test examples."""
    run = examples(load_run(real_run("spos")), 4000)
    others = [compared(accuracy) for accuracy in (0.953, 0.958, 0.961, 0.964, 0.967, 0.969, 0.972, 0.975)]
    feeds = "{'x': numpy.zeros((1, 1, 8, 8), numpy.float32)}"
    usage = Usage(call="torch.zeros(1, 1, 8, 8)", feeds=feeds, outputs=["linear"], tensor=True)
    export = ExportCheck(
        examples=64, pt2_max_difference=0.0, onnx_max_difference=1e-6, same_predictions=64, usage=usage
    )
    return with_accuracy(replace(run, results=Results(baselines=others, export=export)), 0.981)


def examples(run: LoadedRun, tested: int) -> LoadedRun:
    """The run with another number of test examples."""
    assert run.data is not None
    return replace(run, data=changed(run.data, parts={**run.data.parts, "test": [tested // 10] * 10}))


def with_accuracy(run: LoadedRun, retrained: float) -> LoadedRun:
    inherited = Evaluation(split="test", metrics={"accuracy": 0.931, "loss": 0.25})
    tested = Evaluation(split="test", metrics={"accuracy": retrained, "loss": 0.08})
    return replace(run, results=changed(run.results, inherited=inherited, retrained=tested))


def test_findings_when_it_beats_random(finished: LoadedRun) -> None:
    marks = said(finished)
    for expected in (
        "spos found",
        "Budget met: flops \u2264 60 000, and it is",
        "Accuracy on the test set after retraining: 98.1 % (with inherited weights 93.1 %).",
        "Beats the mean of 8 random architectures of about the same cost by 1.6 points",
        "(mean 96.5 %, standard deviation 0.74 points, best 97.5 %). None of the 8 did as well",
        "None of the 8 did as well or better.",
        "64 of 64 examples",
    ):
        assert expected in marks["good"]
    assert marks["bad"] == ""
    told = narrow(conclusion(finished).text)
    assert told.startswith(
        "The found network reaches 98.1 % accuracy on the test set, within budget and 1.6 points better than the mean"
    )


def test_findings_when_it_does_not(finished: LoadedRun) -> None:
    run = with_accuracy(finished, 0.955)
    bad = said(run)["bad"]
    assert "Does not beat random architectures: it is 1.0 points worse than the mean of 8" in bad
    assert "7 of the 8 did as well or better." in bad
    assert "1.0 points worse than the mean of 8 random architectures" in conclusion(run).text
    equal = replace(run, results=changed(run.results, baselines=[compared(0.955)]))
    assert conclusion(equal).text.endswith("within budget")  # one is too few
    assert "1 random architecture of about the same cost has 95.5 %: too few to compare with." in said(equal)["open"]


def test_a_warning_of_the_method_is_a_finding(finished: LoadedRun) -> None:
    assert finished.best is not None
    warned = replace(finished, best=changed(finished.best, warning="It is the random start."))
    assert "It is the random start." in said(warned)["bad"]


def test_findings_within_chance(finished: LoadedRun) -> None:
    deviation = "The difference is less than one standard deviation, so it may be chance."
    few = "With 360 test examples, a score is known to about {} points, so the difference may be chance."
    for tested, accuracy, margin, told in (
        (
            360,
            0.9805,
            "1.6 points better than",
            "The difference is less than two standard errors, so it may be chance.",
        ),
        (360, 0.976, "1.1 points better than", few.format("1.7")),
        (360, 0.955, "1.0 points worse than", few.format("2.2")),
        (10**6, 0.971, "0.61 points better than", deviation),
        (10**6, 0.959, "0.59 points worse than", deviation),
        (360, 0.964875, "no better than", few.format("2.0")),
    ):
        run = with_accuracy(examples(finished, tested), accuracy)
        marks, last = said(run), conclusion(run)
        assert f"Cannot be told from random architectures: it is {margin} the mean of 8" in marks["open"]
        assert told in marks["open"]
        assert "beat" not in (marks["good"] + marks["bad"]).lower()
        assert last.mark == "open"
        assert last.text.endswith(f", within budget; {margin} the mean of 8 random architectures, which may be chance")
        assert [mark for *_, told, mark in tiles(run) if "random" in told] == ["open"]


@pytest.mark.parametrize(
    ("accuracy", "others", "told"),
    [
        (0.98, (0.8, 0.81, 0.82), "81.00% +- 1.00%: beaten"),
        (0.98, (0.97, 0.975, 0.985), "97.67% +- 0.76%: too close to tell with 360 test examples"),
        (0.98, (0.5, 0.98, 0.99), "82.33% +- 28.01%: too close to tell"),
        (0.8, (0.97, 0.975, 0.985), "97.67% +- 0.76%: NOT beaten"),
        (0.8, (0.5, 0.5), "50.00% +- 0.00%: too few to tell; --baselines 8 tells more"),
    ],
)
def test_the_closing_table_says_when_random_networks_are_beaten(
    spos: Path, accuracy: float, others: tuple[float, ...], told: str
) -> None:
    run = Run(spos)
    tested = Evaluation(split="test", metrics={"accuracy": accuracy, "loss": 0.1})
    update_results(run, retrained=tested, baselines=[compared(other) for other in others])
    cells = list(summary(run, [], Classification()).columns[1].cells)
    assert told in cells


def test_marks_of_the_headline(finished: LoadedRun) -> None:
    assert finished.best is not None
    marks = [conclusion(with_accuracy(finished, accuracy)).mark for accuracy in (0.981, 0.955)]
    assert marks == ["good", "bad"]
    few = replace(finished, results=changed(finished.results, baselines=finished.results.baselines[:2]))
    assert conclusion(few).mark == "open"
    costly = replace(finished, best=changed(finished.best, costs={"flops": 10**9}))
    assert conclusion(costly).mark == "bad"
    assert conclusion(replace(finished, best=None)).mark == "open"


def test_a_network_that_retraining_made_worse_is_bad_news(finished: LoadedRun) -> None:
    for tested, accuracy, worse in ((360, 0.7, True), (360, 0.92, False), (10**6, 0.92, True)):
        run = with_accuracy(examples(finished, tested), accuracy)
        assert conclusion(run).text.endswith("worse than the 93.1\u202f% with inherited weights") == worse
        assert ("Retraining made the network worse" in said(run)["bad"]) == worse
        assert conclusion(run).mark == "bad"


def test_findings_without_random_architectures(finished: LoadedRun) -> None:
    alone = replace(finished, results=changed(finished.results, baselines=[]))
    assert comparison(alone) is None
    assert "no random architectures were trained" in said(alone)["open"]
    assert conclusion(alone).text.endswith("on the test set, within budget")
    assert "No random architectures have been trained" in page_of(alone)
    early = replace(finished, results=changed(finished.results, retrained=None))
    assert "It has not been retrained" not in said(early)["good"]
    assert "with inherited weights: 93.1 %. The network has not been retrained yet." in said(early)["open"]
    assert conclusion(early).text.startswith("With inherited weights the found network reaches")


@pytest.mark.parametrize("slowest_ms", [0.3, 0.5])
def test_a_budget_of_latency_is_met_when_the_network_runs(finished: LoadedRun, slowest_ms: float) -> None:
    """The table says 0.08 ms, and 70 % of the largest network by the table are 0.09; it takes 0.4 ms when it runs."""
    assert finished.best is not None
    best = changed(finished.best, budgets=["latency_ms<=0.09"], costs={**finished.best.costs, "latency_ms": 0.08})
    error = TableError(
        budget_ms=0.4, networks=1, within=1, mean_absolute_percentage_error=80.0, median_absolute_percentage_error=80.0,
        mean_percentage_error=-80.0, rank_correlation=None, kendall_tau=None,
    )  # fmt: skip
    one = MeasuredCandidate(
        arch=best.arch,
        text=best.text,
        metrics={},
        table_ms=0.08,
        rounds_ms=[0.2, slowest_ms],
        spread_ms=0.0,
        within=True,
    )
    run = replace(finished, best=best, measured=[one], results=changed(finished.results, table_error=error))
    told = [finding.text for finding in findings(run) if "latency" in finding.text]
    met = "Budget met: latency_ms \u2264 0.4, and it is 0.3, 25.0\u202f% below the limit."
    missed = "Budget NOT met: latency_ms \u2264 0.4, but it is 0.5, 25.0\u202f% above the limit."
    assert told == [met if slowest_ms == 0.3 else missed]
    assert ("over its budget" in conclusion(run).text) == (slowest_ms == 0.5)


def test_usage_is_that_of_the_export(finished: LoadedRun) -> None:
    assert "net(torch.zeros(1, 1, 8, 8))" in page_of(finished)
    assert finished.results.export is not None
    assert "scores.argmax(dim=1)" in page_of(finished)
    feeds = "{'left': numpy.zeros((1, 5), numpy.float32)}"
    usage = Usage(call="{'left': torch.zeros(1, 5)}", feeds=feeds, outputs=["topic", "count"], tensor=False)
    check = changed(finished.results.export, usage=usage)
    page = unescape(page_of(replace(finished, results=changed(finished.results, export=check))))
    assert "output = net({'left': torch.zeros(1, 5)})" in page
    assert f"inputs = {feeds}" in page
    assert "argmax" not in page
    trusted = changed(finished.info, code=["mine:make"])
    assert "trust_plugins=['mine:make'])" in unescape(page_of(replace(finished, info=trusted)))
    assert "trust_plugins" not in page


def test_usage_prepares_an_image_where_images_are_resized(finished: LoadedRun) -> None:
    assert finished.data is not None
    assert "ImageOps" not in page_of(finished)
    prepared = {"resize": [37, 37], "crop": [32, 32], "mean": [0.5] * 3, "std": [0.2] * 3}
    page = unescape(page_of(replace(finished, data=changed(finished.data, prepared=prepared))))
    assert f"facts = {prepared}" in page
    assert "net(torch.from_numpy(inputs))" in page
    assert "zeros" not in page


def test_settings_are_spelled_as_in_the_help_and_have_the_shape_of_the_data(finished: LoadedRun) -> None:
    assert finished.data is not None
    data = changed(finished.data, shape=[3, 32, 32])
    shown = dict(settings(replace(finished, data=data)))
    assert (shown["--space"], shown["--space.shape"], shown["--random-search"]) == ("tiny", [3, 32, 32], 8)
    assert {"--finalists", "--retrain.epochs"} < shown.keys()
    assert "--space.name" not in shown


def test_few_validation_examples_are_a_finding(finished: LoadedRun) -> None:
    many = replace(finished, candidates=finished.candidates * 100)
    assert "validation examples, on which an accuracy is known to about" in said(many)["open"]
    assert "an accuracy is known" not in said(finished)["open"]


def test_parts_without_counts_by_class(finished: LoadedRun) -> None:
    """Of a segmentation: there are classes, but an example has many."""
    assert finished.data is not None
    data = changed(finished.data, targets=[8, 8], parts={"train": [1234], "val": [56], "test": [78]})
    page = unescape(page_of(replace(finished, data=data)))
    assert "1\u202f234" in page or "1 234" in page or "1\u00a0234" in page
    assert "most frequent class" not in page


def test_budget_not_met(finished: LoadedRun) -> None:
    assert finished.best is not None
    best = changed(
        finished.best, costs={"flops": 660_000, "params": 5}, budgets=["flops<=600k", "params>=4 and params<=5"]
    )
    run = replace(finished, best=best)
    assert "Budget NOT met: flops \u2264 600 000, but it is 660 000, 10.0 % above the limit." in said(run)["bad"]
    assert "Budget met: params \u2265 4, and it is 5, 25.0 % above the limit." in said(run)["good"]
    assert "Budget met: params \u2264 5, and it is exactly 5." in said(run)["good"]
    assert conclusion(run).text.endswith("over its budget")
    unknown = replace(run, best=changed(best, costs={}))
    assert "Budget params \u2265 4: the cost of the found network is not recorded." in said(unknown)["open"]
    assert conclusion(unknown).text.endswith("but its budget is not shown to be met")
    strange = replace(run, best=changed(best, budgets=["few<=3", HOSTILE]))
    assert f"The budget cannot be read: few<=3, {HOSTILE}." in said(strange)["open"]
    assert "No budget was set." in said(replace(run, best=changed(best, budgets=[]), config={}))["open"]


def test_budgets_read_what_they_write(finished: LoadedRun) -> None:
    assert finished.best is not None
    budget = Budget("flops", 3.5, 1e6)
    run = replace(finished, best=changed(finished.best, budgets=[str(budget)]))
    assert run.budgets == [Budget("flops", at_least=3.5), Budget("flops", at_most=1e6)]
    scaled = replace(finished, best=changed(finished.best, scale_to=["params<=9"]))
    assert (scaled.budgets, scaled.search_budgets) == ([Budget("params", at_most=9)], finished.budgets)


# Hostile and large contents


OF_USERS = ("arch", "metrics", "val", "costs", "truth", "versions", "parts", "figures")
"""Fields whose names are labels of a user's."""


def hostile(value: Any, key: str = "") -> Any:
    """A value with markup in all texts of a user's, names included."""
    if isinstance(value, dict):
        ending = HOSTILE if key in OF_USERS else ""
        return {name + ending: hostile(part, "" if ending else name) for name, part in value.items()}
    if isinstance(value, list):
        return [hostile(part, key if key == "event" else "") for part in value]
    return value + HOSTILE if isinstance(value, str) and key != "event" else value


@pytest.mark.parametrize("name", ["spos", "ista", "front", "ranked"])
def test_hostile_labels_are_text(real_run: RealRun, name: str, tmp_path: Path) -> None:
    run = Path(shutil.copytree(real_run(name), tmp_path / '<b onclick="x">&'))
    for path in (*run.glob("*.json"), *run.glob("*.jsonl")):
        lines = path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]
        path.write_text("".join(json.dumps(hostile(json.loads(line))) + "\n" for line in lines))
    with (run / "log.jsonl").open("a") as file:
        file.write(json.dumps({"event": "note", "stage": HOSTILE, "message": HOSTILE}) + "\n")
    with (run / "config.yaml").open("a") as file:
        file.write(f"{json.dumps(HOSTILE)}: {{x: {json.dumps(HOSTILE)}}}\n")
    page, plain = reported(run), Page(real_run(name) / "report.html")
    assert HOSTILE in "".join(page.words)
    assert {tag for tag, _ in page.tags} <= {tag for tag, _ in plain.tags}
    assert not any(key.startswith("on") for _, attrs in page.tags for key in attrs)
    assert not [attrs for tag, attrs in page.tags if tag == "img"], "none is base64 any more"
    kinds = [attrs.get("type") for tag, attrs in page.tags if tag == "script"]
    assert kinds.count(None) == 2
    data = [script for script in page.scripts if script.startswith("{")]
    assert len(data) == kinds.count("application/json") > 3
    for script in data:
        assert "<" not in script
        assert "<script" not in json.dumps(json.loads(script)), "charts read markup in labels"


def test_pictures_are_base64_of_known_classes(spos: Path) -> None:
    data = json.loads((spos / "data.json").read_text())
    samples = [{"label": label, "png": png} for label, png in ((0, "AAAA"), (1, HOSTILE), (99, "AAAA"), (-1, "AAAA"))]
    (spos / "data.json").write_text(json.dumps({**data, "samples": samples}))
    assert [attrs["src"] for tag, attrs in reported(spos).tags if tag == "img"] == ["data:image/png;base64,AAAA"]


def test_halves_of_characters(spos: Path) -> None:
    """Python can hold them, a file in UTF-8 cannot."""
    run = load_run(spos)
    assert run.data is not None
    data = changed(run.data, classes=["\ud800", *run.data.classes[1:]])
    assert "\ud800" in page_of(replace(run, data=data))
    (spos / "data.json").write_text((spos / "data.json").read_text().replace('"0"', '"\\ud800"'))
    report(spos)


def test_large_spaces_are_drawn(spos: Path) -> None:
    labels = [
        f"{source}:{op}" for source in range(5) for op in ("sep3", "sep5", "dil3", "dil5", "max3", "avg3", "skip")
    ]
    many = [{"name": f"node{i}", "options": labels, "least": 2, "most": 2} for i in range(4)]
    many += [{"name": f"edges{i}", "options": ["a", "b", "c"], "least": 0, "most": 3} for i in range(36)]
    arch = {f"node{i}": labels[i : i + 2] for i in range(4)} | {
        f"edges{i}": ["a", "b", "c"][: i % 4] for i in range(36)
    }
    for file, new in (("choices.json", {"choices": many, "size": 10**900}), ("best.json", {"arch": arch, "text": "-"})):
        (spos / file).write_text(json.dumps({**json.loads((spos / file).read_text()), **new}))
    page = reported(spos)
    options = [attrs for tag, attrs in page.tags if tag == "li" and attrs.get("class") in (None, "kept")]
    assert sum(attrs.get("class") == "kept" for attrs in options) == sum(map(len, arch.values()))
    assert sum(len(choice["options"]) for choice in many) <= len(options)
    assert "1.0 \u00d7 10\u2079\u2070\u2070 architectures" in page.text


def test_many_candidates_stay_a_small_page(real_run: RealRun) -> None:
    run = load_run(real_run("spos"))
    rows = [
        Scored(generation=0, arch={}, text=str(i), metrics={"accuracy": i / 60_000, "loss": 1.0}, costs={"flops": i})
        for i in range(60_000)
    ]
    assert len(page_of(replace(run, candidates=rows))) < 2_000_000
    assert best_so_far(run, rows[:3]) == [0, 1 / 60_000, 2 / 60_000]


def test_numbers_that_are_none(finished: LoadedRun) -> None:
    """Infinite values and values that are no numbers are left out of charts, which are strict JSON."""
    strange = [
        Scored(generation=0, arch={}, text="x", metrics={"accuracy": value, "loss": value}, costs={"flops": value})
        for value in (0.5, math.inf, math.nan)
    ]
    assert finished.best is not None
    best = changed(
        finished.best, costs={"flops": math.nan, "params": math.inf}, val={"accuracy": math.nan, "loss": 1.0}
    )
    text = page_of(replace(finished, candidates=strange, best=best))
    for script in re.findall(r'<script type="application/json">(.*?)</script>', text):
        json.loads(script, parse_constant=pytest.fail)


def test_numbers() -> None:
    wide = [count(512_000), count(None), count(0.125), count(-1_234.0), percent(0.931), percent(None)]
    assert list(map(narrow, wide)) == ["512 000", "\u2013", "0.125", "-1 234", "93.1 %", "\u2013"]
    shares = [narrow(percent(share)) for share in (0.0, 1.0, 0.9998, 0.0004)]
    assert shares == ["0.0 %", "100.0 %", "99.98 %", "0.04 %"]
    times = [0.25, 9.99, 31.2, 119.6, 725.0, 3600.0, 11_100.0, 90_000.0]
    told = ["0.2 s", "10 s", "31 s", "2 min 00 s", "12 min 05 s", "1 h 00 min", "3 h 05 min", "1 d 01 h"]
    assert [narrow(seconds(time)) for time in times] == told
    sizes = [narrow(short(value)) for value in (950, 5_120, 51_200, 512_000, 330e6, 1.25e9)]
    assert sizes == ["950", "5 120", "51.2 k", "512 k", "330 M", "1.25 G"]
    assert narrow(count(3.0e60)) == "3.0 \u00d7 10\u2076\u2070"
    assert narrow(count(10**900)) == "1.0 \u00d7 10\u2079\u2070\u2070"
    assert [narrow(mebibytes(value)) for value in (412.0, 12_288.0)] == ["412 MiB", "12.0 GiB"]
    assert [points(share) for share in (0.016, -0.0042)] == ["1.6", "0.42"]
    none = [
        show(value) for show in (count, short, percent, seconds, mebibytes, decimals) for value in (math.nan, math.inf)
    ]
    assert none == ["\u2013"] * 12
    assert [narrow(several(n, noun)) for n, noun in ((1, "class"), (10, "class"), (2, "choice"))] == [
        "1 class",
        "10 classes",
        "2 choices",
    ]


def test_the_report_knows_no_space_and_no_method() -> None:
    """Neither imports nor names; random search is the exception, with which every other one is compared."""
    folder = Path(sparsenas.reporting.__file__).parent
    files = [path for path in folder.rglob("*") if path.suffix in (".py", ".j2", ".css", ".js")]
    text = "".join(path.read_text() for path in files)
    assert not re.findall(r"sparsenas\.(?:spaces|methods)", text)
    assert not [name for name in {*SPACES, *METHODS} - {"random"} if re.search(rf"\b{name}\b", text, re.IGNORECASE)]
