"""The report is made from files alone: whatever is in them, and however few there are."""

from __future__ import annotations

import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from sparsenas.errors import UserError
from sparsenas.reporting import report
from sparsenas.reporting.numbers import count, mebibytes, number, percent, points, seconds, short
from sparsenas.reporting.read import read_run
from sparsenas.reporting.verdict import headline, verdict
from sparsenas.rundir.config import FORMAT

HOSTILE = '<script>alert("1")</script>&amp;<img src=http://evil.example/x onerror=alert(2)>'
OPTIONS = ("conv3", "conv5", "skip")
WEIGHT = {"conv3": 60_000, "conv5": 150_000, "skip": 4_000}
INFO = {
    "command": "run",
    "versions": {"python": "3.12.3", "torch": "2.13.0", "sparsenas": "0.1.0", "numpy": "2.4.6"},
    "machine": "Linux x86_64, 2 cores",
}
FULL = ("config.yaml", "choices.json", "log.jsonl", "archs.jsonl", "best.json", "results.json", "data.json")


def config() -> dict[str, Any]:
    return {
        "space": {"name": "tiny", "width": 16, "shape": [1, 8, 8], "classes": 10},
        "data": {"name": "digits", "root": None},
        "method": {"name": "spos", "population": 50, "generations": 18},
        "budget": ["flops<=600e3"],
        "seed": 0,
        "out": "runs/tiny",
        "search": {"epochs": 60, "batch": 96, "lr": 0.5},
        "retrain": {"epochs": 40, "batch": 96, "lr": 0.5},
        "baselines": 8,
        "resume": False,
    }


def space(blocks: int = 8) -> dict[str, Any]:
    choices = [{"name": f"block{i + 1}", "options": list(OPTIONS), "least": 1, "most": 1} for i in range(blocks)]
    ranges = {"flops": [75_000, 1_275_000], "params": [2_400, 31_000], "memory_access": [9_000, 88_000]}
    classes = [str(digit) for digit in range(10)]
    return {"shape": [1, 8, 8], "classes": classes, "size": 3**blocks, "choices": choices, "range": ranges}


def images() -> dict[str, Any]:
    parts = {"train": [110] * 9 + [95], "val": [36] * 10, "test": [36] * 10}
    samples = [{"label": label, "png": "AAAA"} for label in range(10)]
    return {"classes": [f"digit {i}" for i in range(10)], "shape": [1, 8, 8], "parts": parts, "samples": samples}


def costs_of(picks: list[int]) -> dict[str, int]:
    flops = 43_000 + sum(WEIGHT[OPTIONS[pick]] for pick in picks)
    return {"flops": flops, "params": flops // 42, "memory_access": flops // 15, "bitops": flops * 1024}


def scored(picks: list[int], rng: np.random.Generator) -> float:
    wish = 0.90 + 0.004 * sum(pick == 1 for pick in picks) - 0.01 * sum(pick == 2 for pick in picks)
    return float(np.clip(wish + rng.normal(0, 0.004), 0, 1))


def candidates(rng: np.random.Generator) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for generation in range(18):
        while len(rows) < 50 * (generation + 1):
            p = np.array([1 + 0.1 * generation, 1 + 0.1 * generation, 1])
            picks = [int(pick) for pick in rng.choice(3, 8, p=p / p.sum())]
            costs = costs_of(picks)
            if costs["flops"] <= 600_000:
                arch = {f"block{i + 1}": OPTIONS[pick] for i, pick in enumerate(picks)}
                text = "".join(map(str, picks))
                score = {"accuracy": scored(picks, rng), "loss": 0.3}
                rows.append({"generation": generation, "arch": arch, "text": text, **score, **costs})
    return rows


def training(stage: str, epochs: int, top: float, rng: np.random.Generator) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = []
    for epoch in range(epochs):
        done = 1 - math.exp(-5 * (epoch + 1) / epochs)
        accuracy = top * done + 0.1 * (1 - done) + float(rng.normal(0, 0.006))
        where = {"stage": stage, "epoch": epoch, "epochs": epochs, "step": 11 * (epoch + 1)}
        speed = {"lr": 0.5 * (1 - epoch / epochs), "images_per_s": 15000.0 + float(rng.normal(0, 400))}
        lines.append({**where, "loss": 2.3 * (1 - done) + 0.1, "accuracy": min(accuracy, 1.0), **speed})
    return lines


def log(rng: np.random.Generator) -> list[dict[str, Any]]:
    done = {"event": "done", "peak_memory_mib": 412}
    lines = training("supernet", 60, 0.93, rng)
    lines.append({"stage": "supernet", **done, "seconds": 31.2, "data_passes": 60})
    searched = {"evaluations": 900, "data_passes": 21, "candidates_rejected": 123}
    lines.append({"stage": "evolution", "event": "note", "message": "converged after 18 generations"})
    lines.append({"stage": "evolution", **done, "seconds": 12.9, **searched})
    lines += training("retrain", 40, 0.985, rng)
    lines.append({"stage": "retrain", **done, "seconds": 14.0, "data_passes": 40})
    for i in range(1, 9):
        lines += training(f"baseline{i}", 40, 0.95 + 0.004 * i, rng)
    lines.append({"stage": "baselines", **done, "seconds": 110.4, "data_passes": 320})
    lines.append({"stage": "export", **done, "seconds": 3.6})
    return lines


def baseline(accuracy: float, rng: np.random.Generator) -> dict[str, Any]:
    picks = [int(pick) for pick in rng.choice(3, 8)]
    arch = {f"block{i + 1}": OPTIONS[pick] for i, pick in enumerate(picks)}
    text = "".join(map(str, picks))
    return {"text": text, "arch": arch, "costs": costs_of(picks), "accuracy": accuracy, "loss": 0.2}


def results(rng: np.random.Generator, retrained: float = 0.981) -> dict[str, Any]:
    others = [0.953, 0.958, 0.961, 0.964, 0.967, 0.969, 0.972, 0.975]
    right = np.diag(rng.integers(30, 37, 10))
    wrong = rng.integers(0, 2, (10, 10)) * (rng.random((10, 10)) < 0.2)
    np.fill_diagonal(wrong, 0)
    return {
        "inherited": {"accuracy": 0.931, "loss": 0.25, "split": "test"},
        "retrained": {"accuracy": retrained, "loss": 0.08},
        "baselines": [baseline(accuracy, rng) for accuracy in others],
        "export": {"onnx_max_difference": 1e-6, "images": 64, "same_predictions": 64},
        "confusion": (right + wrong).tolist(),
    }


def best(scores: list[dict[str, Any]]) -> dict[str, Any]:
    top = max(scores, key=lambda row: float(row["accuracy"]))
    costs = {cost: top[cost] for cost in ("flops", "params", "memory_access", "bitops")}
    val = {"accuracy": top["accuracy"], "loss": 0.31}
    return {
        "arch": top["arch"],
        "text": top["text"],
        "costs": costs,
        "budgets": ["flops<=600000"],
        "val": val,
    }


def fake_run(folder: Path, files: tuple[str, ...] = FULL, **replaced: Any) -> Path:
    """A run folder with ``files``; ``replaced`` gives other contents by file name without its ending."""
    rng = np.random.default_rng(0)
    rows = candidates(rng)
    contents: dict[str, Any] = {"config": config(), "choices": space(), "log": log(rng), "archs": rows}
    contents |= {"best": best(rows), "results": results(rng), "data": images()}
    contents |= replaced
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        stem, ending = file.split(".")
        content = contents[stem]
        lines = "".join(json.dumps(line) + "\n" for line in content) if ending == "jsonl" else json.dumps(content)
        (folder / file).write_text(yaml.safe_dump(content) if ending == "yaml" else lines, encoding="utf-8")
    (folder / "run.json").write_text(json.dumps({"format": FORMAT, **INFO, **replaced.get("info", {})}))
    return folder


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
        return " ".join(" ".join(self.words).split()).replace("\u202f", " ")


def said(run: Path) -> dict[str, str]:
    """The findings by mark, joined."""
    marks: dict[str, str] = {"good": "", "bad": "", "open": ""}
    for sentence in verdict(read_run(run)):
        marks[sentence.mark] += sentence.text.replace("\u202f", " ") + "\n"
    return marks


def test_full_run(tmp_path: Path) -> None:
    path = report(fake_run(tmp_path / "run"))
    assert path == tmp_path / "run" / "report.html"
    page = Page(path)
    text = page.text
    for expected in ("block8", "conv5", "600 000", "6 561", "31 s", "412 MiB", "98.1 %", "evaluations", "digit 9: 95"):
        assert expected in text
    for snippet in ("torch.export.load", "onnxruntime.InferenceSession", "sparsenas.load", "--search.epochs"):
        assert snippet in text
    assert sum(tag == "div" and attrs.get("class") == "chart" for tag, attrs in page.tags) == 7
    assert sum(tag == "svg" for tag, _ in page.tags) == 10
    assert [file.name for file in (tmp_path / "run").iterdir() if file.name.startswith(".")] == []


def test_one_file_that_loads_nothing(tmp_path: Path) -> None:
    page = Page(report(fake_run(tmp_path)))
    for tag, attributes in page.tags:
        assert tag not in {"link", "iframe", "object", "embed", "base"}
        for name, value in attributes.items():
            if tag == "img" and name == "src":
                assert re.fullmatch(r"data:image/png;base64,[A-Za-z0-9+/=]+", value or "")
                continue
            if name in {"src", "href", "srcset", "data", "action", "poster", "xlink:href"}:
                assert (value or "").startswith("#"), (tag, name, value)
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert html.count("plotly.js v") == 1
    assert "default-src 'none'" in html
    assert "@import" not in html[: html.index("</style>")]
    assert "url(" not in html[: html.index("</style>")]


def hostile_run(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    asked = space(2)
    asked["classes"] = [HOSTILE, "\ud800", *map(str, range(8))]
    asked["choices"] = [{"name": HOSTILE, "options": [HOSTILE, "a"], "least": 0, "most": 2}]
    row = {"generation": 0, "arch": {HOSTILE: [HOSTILE]}, "text": HOSTILE, "accuracy": 0.5, "flops": 9}
    found = {"arch": {HOSTILE: [HOSTILE]}, "text": HOSTILE, "costs": {HOSTILE: 3.0, "flops": 9}, "budgets": [HOSTILE]}
    flags = {**config(), HOSTILE: {HOSTILE: HOSTILE}, "method": {"name": HOSTILE}}
    lines = [*training(HOSTILE, 2, 0.9, rng), {"stage": HOSTILE, "event": "note", "message": HOSTILE}]
    tested = results(rng)
    tested["baselines"][0]["text"] = HOSTILE
    tested["retrained"]["split"] = HOSTILE
    shown = {**images(), "classes": [HOSTILE] * 10, "shape": [HOSTILE]}
    shown["samples"] = [
        {"label": 0, "png": "AAAA"},
        {"label": 1, "png": HOSTILE},
        {"label": 99, "png": "AAAA"},
        HOSTILE,
    ]
    contents: dict[str, Any] = {
        "config": flags,
        "info": {"machine": HOSTILE, "versions": {HOSTILE: HOSTILE}},
        "data": shown,
        "choices": asked,
        "log": lines,
        "archs": [row, row],
        "best": found,
        "results": tested,
    }
    return fake_run(folder, **contents)


def test_hostile_labels_are_text(tmp_path: Path) -> None:
    page = Page(report(hostile_run(tmp_path / '<b onclick="x">&')))
    assert HOSTILE in "".join(page.words)
    assert "b onclick" not in {tag for tag, _ in page.tags}
    assert [attrs["src"] for tag, attrs in page.tags if tag == "img"] == ["data:image/png;base64,AAAA"]
    assert not any("onerror" in attrs or "onclick" in attrs for _, attrs in page.tags)
    kinds = [attrs.get("type") for tag, attrs in page.tags if tag == "script"]
    assert kinds.count(None) == 2
    data = [script for script in page.scripts if script.startswith("{")]
    assert len(data) == kinds.count("application/json") > 3
    for script in data:
        json.loads(script)
        assert "<" not in script
        assert "<script" not in json.dumps(json.loads(script)), "charts read markup in labels"


@pytest.mark.parametrize("most", range(1, len(FULL) + 1))
def test_partial_folders(tmp_path: Path, most: int) -> None:
    text = Page(report(fake_run(tmp_path, FULL[:most]))).text
    assert ("No architecture has been found yet" in text) == (most < 5)
    assert ("Nothing has been trained yet" in text) == (most < 3)
    assert ("has not been tested yet" in text) == (most == 5)
    assert "--search.epochs" in text


def test_only_config(tmp_path: Path) -> None:
    text = Page(report(fake_run(tmp_path, ("config.yaml",)))).text
    for expected in (
        "The search has not started.",
        "The choices of the space have not been written yet.",
        "There is no found network to count yet.",
        "Nothing has been evaluated yet.",
        "No candidates have been scored",
        "No stage has been run yet.",
        "has not been exported yet",
    ):
        assert expected in text


def test_unfinished_search(tmp_path: Path) -> None:
    lines = training("supernet", 60, 0.9, np.random.default_rng(0))[:23]
    run = fake_run(tmp_path, ("config.yaml", "choices.json", "log.jsonl"), log=lines)
    assert "last trained: supernet, epoch 23 of 60" in said(run)["open"]
    assert "supernet (not finished: epoch 23 of 60)" in Page(report(run)).text


def test_without_baselines(tmp_path: Path) -> None:
    run = fake_run(tmp_path, results={"inherited": {"accuracy": 0.9}, "retrained": {"accuracy": 0.95}})
    assert "no random architectures were trained" in said(run)["open"]
    assert "No random architectures have been trained" in Page(report(run)).text
    assert headline(read_run(run)).endswith("on the test set, within budget")


def test_folder_that_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"expected a run folder with config\.yaml"):
        report(tmp_path)
    run = fake_run(tmp_path)
    (run / "best.json").write_text("{")
    with pytest.raises(UserError, match=r"best\.json: expected JSON"):
        report(run)
    (run / "best.json").write_text("[]")
    with pytest.raises(UserError, match=r"best\.json: expected an object of named values, got a list"):
        report(run)


def test_torn_lines(tmp_path: Path) -> None:
    run = fake_run(tmp_path)
    whole = read_run(run)
    for file in ("log.jsonl", "archs.jsonl"):
        with (run / file).open("a") as out:
            out.write('{"stage": "retr')
    torn = read_run(run)
    assert (torn.log, torn.candidates, torn.notes) == (whole.log, whole.candidates, [])
    with (run / "log.jsonl").open("a") as out:
        out.write('{"stage": "retrain"}\n{"stage": "late", "event": "note", "message": "kept"}\n')
    assert read_run(run).log == [*whole.log, {"stage": "late", "event": "note", "message": "kept"}]
    assert "log.jsonl: 1 unreadable line(s) left out." in Page(report(run)).text


def test_steps_done_again_after_a_restart_count_once(tmp_path: Path) -> None:
    lines = training("supernet", 4, 0.9, np.random.default_rng(0))
    again = [{**line, "loss": 7.0} for line in lines[2:]]
    trained = read_run(fake_run(tmp_path, log=[*lines, *again])).training()["supernet"]
    assert [line["epoch"] for line in trained] == [0, 1, 2, 3]
    assert [line["loss"] for line in trained[2:]] == [7.0, 7.0]


def test_verdict_when_it_beats_random(tmp_path: Path) -> None:
    run = fake_run(tmp_path)
    marks = said(run)
    assert "Beats the mean of 8 random architectures of the same cost band by 1.6 points" in marks["good"]
    assert "(mean 96.5 %, standard deviation 0.74 points, best 97.5 %). None of the 8 did as well" in marks["good"]
    assert "Budget met: flops \u2264 600 000, and it is" in marks["good"]
    assert "64 of 64 images" in marks["good"]
    assert marks["bad"] == ""
    told = headline(read_run(run)).replace("\u202f", " ")
    assert told.startswith("The found network reaches 98.1 % on the test set, within budget and better than random")


def test_verdict_when_it_does_not(tmp_path: Path) -> None:
    run = fake_run(tmp_path, results=results(np.random.default_rng(0), retrained=0.955))
    bad = said(run)["bad"]
    assert "Does not beat random architectures: it is 1.0 points below the mean of 8" in bad
    assert "7 of the 8 did as well or better." in bad
    assert "no better than random architectures" in headline(read_run(run))


def test_verdict_within_chance(tmp_path: Path) -> None:
    run = fake_run(tmp_path, results=results(np.random.default_rng(0), retrained=0.966))
    assert "less than one standard deviation, so it may be chance" in said(run)["good"]


def test_budget_not_met(tmp_path: Path) -> None:
    found = {"text": "0", "arch": {}, "costs": {"flops": 660_000, "params": 5}, "budgets": ["flops<=600k", "params>=4"]}
    run = fake_run(tmp_path, best=found)
    assert "Budget NOT met: flops \u2264 600 000, but it is 660 000, 10.0 % above the limit." in said(run)["bad"]
    assert "Budget met: params \u2265 4, and it is 5, 25.0 % above the limit." in said(run)["good"]
    assert headline(read_run(run)).endswith("over its budget")


def test_large_spaces_are_drawn(tmp_path: Path) -> None:
    labels = [
        f"{source}:{op}" for source in range(5) for op in ("sep3", "sep5", "dil3", "dil5", "max3", "avg3", "skip")
    ]
    many = [{"name": f"node{i}", "options": labels, "least": 2, "most": 2} for i in range(4)]
    many += [{"name": f"edges{i}", "options": ["a", "b", "c"], "least": 0, "most": 3} for i in range(36)]
    arch = {f"node{i}": labels[i : i + 2] for i in range(4)} | {
        f"edges{i}": ["a", "b", "c"][: i % 4] for i in range(36)
    }
    page = Page(report(fake_run(tmp_path, choices={**space(), "choices": many}, best={"arch": arch, "text": "-"})))
    assert sum(attrs.get("class") == "kept" for tag, attrs in page.tags if tag == "g") == sum(map(len, arch.values()))
    assert sum(attrs.get("class") == "left" for tag, attrs in page.tags if tag == "g") == 4 * 33 + 9 * (3 + 2 + 1)
    assert sum(tag == "svg" for tag, _ in page.tags) == 42


def test_many_candidates_stay_a_small_page(tmp_path: Path) -> None:
    rows = [{"generation": 0, "text": str(i), "accuracy": i / 60_000, "flops": i} for i in range(60_000)]
    page = Page(report(fake_run(tmp_path, archs=rows)))
    assert sum(len(script) for script in page.scripts if script.startswith("{")) < 2_000_000


def test_nothing_is_left_when_writing_fails(tmp_path: Path) -> None:
    run = fake_run(tmp_path)
    (run / "report.html").mkdir()
    with pytest.raises(UserError, match=r"report\.html: cannot be written"):
        report(run)
    assert {path.name for path in run.iterdir()} == {*FULL, "run.json", "report.html"}


def test_numbers() -> None:
    wide = [count(512_000), count(None), count(0.125), count(-1_234.0), percent(0.931), percent(None)]
    assert [text.replace("\u202f", " ") for text in wide] == [
        "512 000",
        "\u2013",
        "0.125",
        "-1 234",
        "93.1 %",
        "\u2013",
    ]
    assert [percent(share).replace("\u202f", " ") for share in (0.0, 1.0, 0.9998, 0.0004)] == [
        "0.0 %",
        "100.0 %",
        "99.98 %",
        "0.04 %",
    ]
    times = [0.25, 9.99, 31.2, 119.6, 725.0, 3600.0, 11_100.0, 90_000.0]
    assert [seconds(time).replace("\u202f", " ") for time in times] == [
        "0.2 s",
        "10 s",
        "31 s",
        "2 min 00 s",
        "12 min 05 s",
        "1 h 00 min",
        "3 h 05 min",
        "1 d 01 h",
    ]
    sizes = [short(value).replace("\u202f", " ") for value in (950, 5_120, 51_200, 512_000, 330e6, 1.25e9)]
    assert sizes == ["950", "5 120", "51.2 k", "512 k", "330 M", "1.25 G"]
    assert count(3.0e60).replace("\u202f", " ") == "3.0 \u00d7 10\u2076\u2070"
    assert mebibytes(412.0).replace("\u202f", " ") == "412 MiB"
    assert mebibytes(12_288.0).replace("\u202f", " ") == "12.0 GiB"
    assert [points(share) for share in (0.016, -0.0042)] == ["1.6", "0.42"]
    assert [number(value) for value in (True, "3", math.nan, math.inf, None, 10**400, 3)] == [None] * 6 + [3.0]


def more(rng: np.random.Generator) -> dict[str, Any]:
    """A front, a random search and a ranking, by file name without its ending; of rank.json its lines apart."""
    rows = candidates(rng)
    front = [
        row for row in rows if not any(o["flops"] <= row["flops"] and o["accuracy"] > row["accuracy"] for o in rows)
    ]
    points = sorted(({k: v for k, v in row.items() if k != "generation"} for row in front), key=lambda p: p["flops"])
    drawn = enumerate(candidates(rng)[:300])
    random = [{**row, "generation": i, "accuracy": row["accuracy"] - 0.02} for i, row in drawn]
    measures = [
        {"by": by, **({"calibration": n, "images": n, "val": 720} if n is not None else {}),
         "all": {"rows": 60, "tau": tau, "rho": 0.87}, "distinct": {"rows": 50, "tau": tau - 0.01, "rho": 0.86}}
        for by, n, tau in (("accuracy", 0, 0.31), ("accuracy", 256, 0.72), ("flops", None, 0.556), ("params", None, 0))
    ]  # fmt: skip
    place = {"rank": 7, "of": 50, "best": 0.95, "gap": 0.012}
    found = {"text": rows[0]["text"], "accuracy": 0.938, "all": place, "distinct": place, "within_budget": None}
    truth = {row["text"]: row["accuracy"] + 0.01 for row in rows[:60]}
    ranked = [{"calibration": n, "val": 720, **row} for n in (0, 256) for row in rows[:60]]
    return {
        "front": {"cost": "flops", "hypervolume": 600_000.0, "reference": [1.0, 1e6], "points": points},
        "random": random,
        "rank": {"table": "bench.json", "rows": 90, "measures": measures, "found": found, "truth": truth},
        "ranked": ranked,
    }


def fuller_run(folder: Path, **replaced: Any) -> Path:
    """A complete run folder with a front, a random search and a ranking beside it."""
    contents = {**more(np.random.default_rng(1)), **replaced}
    lines = contents.pop("ranked")
    fake_run(folder, (*FULL, "front.json", "random.jsonl", "rank.json"), **contents)
    (folder / "rank.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return folder


def charts(path: Path) -> dict[str, dict[str, Any]]:
    """The charts of a page by what they are called for those who cannot see them."""
    page = Page(path)
    names = [str(attrs["aria-label"]) for tag, attrs in page.tags if tag == "div" and attrs.get("class") == "chart"]
    return dict(zip(names, (json.loads(s) for s in page.scripts if s.startswith("{")), strict=True))


def test_front_over_all_candidates(tmp_path: Path) -> None:
    run = fuller_run(tmp_path)
    points = read_run(run).front["points"]
    (chart,) = [chart for name, chart in charts(report(run)).items() if name.startswith("Score against flops")]
    named = {trace["name"]: trace for trace in chart["data"]}
    assert named["front"]["x"] == [point["flops"] for point in points] == sorted(named["front"]["x"])
    assert named["front"]["y"] == [point["accuracy"] for point in points]
    assert len(named["candidates"]["x"]) == len(read_run(run).candidates)
    text = Page(run / "report.html").text
    several = f"{len(points)} architecture" + "s" * (len(points) != 1)
    assert f"The front of accuracy against flops: {several}; its hypervolume is 60.0 % of" in text
    assert all(point["text"] in text for point in points)


def test_front_of_another_cost_than_the_budget(tmp_path: Path) -> None:
    front = {"cost": "params", "points": more(np.random.default_rng(1))["front"]["points"]}
    names = [name for name in charts(report(fuller_run(tmp_path, front=front))) if name.startswith("Score against")]
    assert names == ["Score against params of every candidate", "Score against flops of every candidate"]


def test_evolution_against_random_search(tmp_path: Path) -> None:
    run = fuller_run(tmp_path)
    (chart,) = [
        chart for name, chart in charts(report(run)).items() if name.startswith("Best score against the number")
    ]
    ours, random = chart["data"]
    assert (ours["name"], random["name"]) == ("spos", "random search")
    scores = [row["accuracy"] for row in read_run(run).random]
    assert (random["x"][-1], random["y"][-1]) == (300, max(scores))
    for x, y in zip(random["x"], random["y"], strict=True):
        assert y == max(scores[:x])
    assert random["y"] == sorted(random["y"])
    assert "After 300 evaluations each the best score is " in Page(run / "report.html").text


def test_ranking(tmp_path: Path) -> None:
    run = fuller_run(tmp_path)
    chart = charts(report(run))["Score on inherited weights against true accuracy"]
    assert chart["layout"]["title"]["text"] == "Kendall tau 0.720, Spearman rho 0.870 (60 architectures)"
    every, found = chart["data"]
    truth = read_run(run).rank["truth"]
    assert sorted(every["text"]) == sorted(truth)
    for text, score, true in zip(every["text"], every["x"], every["y"], strict=True):
        assert true == truth[text] == score + 0.01
    assert found["text"] == [read_run(run).rank["found"]["text"]]
    said = Page(run / "report.html").text
    assert "ranks them better than counting multiply-adds does: tau 0.710 by accuracy against 0.546" in said
    assert "The true accuracy of the found network is 93.8 %: 1.2 points below the best (rank 7 of 50 distinct" in said


def test_a_ranking_is_told_by_the_score_that_decides(tmp_path: Path) -> None:
    flags = config()
    flags["score"] = {"calibration": 256, "by": "loss", "shrink": 0.5}
    rank = more(np.random.default_rng(1))["rank"]
    rank["measures"].append({"by": "loss, shrunk", "calibration": 256, "distinct": {"tau": 0.812}})
    said = Page(report(fuller_run(tmp_path, config=flags, rank=rank))).text
    assert "tau 0.812 by loss, shrunk against 0.546" in said


def test_ranking_that_says_little(tmp_path: Path) -> None:
    measures = [{"by": "accuracy", "images": 0, "all": {"rows": 1, "tau": None}}, {"by": "flops"}]
    run = fuller_run(tmp_path, rank={"table": "t", "measures": measures, "found": None}, ranked=[])
    page = Page(report(run))
    assert "Of \u2013 architectures in t" in page.text
    assert "counting multiply-adds" not in page.text
    assert "Score on inherited weights against true accuracy" not in charts(run / "report.html")


def test_hostile_labels_in_fronts_and_rankings(tmp_path: Path) -> None:
    point = {"text": HOSTILE, "accuracy": 0.5, "loss": 1.0, HOSTILE: 3, "flops": 9}
    measure = {"by": "accuracy", "calibration": HOSTILE, "val": 1, "all": {"tau": HOSTILE, "rows": HOSTILE}}
    rank = {"table": HOSTILE, "rows": HOSTILE, "measures": [measure, {"by": HOSTILE}], "truth": {HOSTILE: 0.5}}
    line = {**point, "calibration": HOSTILE, "val": 1}
    contents: dict[str, Any] = {
        "rank": {**rank, "found": {"text": HOSTILE, "distinct": {"of": HOSTILE}}},
        "ranked": [line],
    }
    front = {"cost": HOSTILE, "points": [point, 3], "reference": [HOSTILE, None], "hypervolume": 1}
    flags = {**config(), "method": {"name": HOSTILE}}
    page = Page(report(fuller_run(tmp_path, front=front, random=[point], config=flags, **contents)))
    assert not any("onerror" in attrs for _, attrs in page.tags)
    assert not any("onerror" in attrs for _, attrs in page.tags)
    for script in (script for script in page.scripts if script.startswith("{")):
        assert "<" not in script
        assert "<script" not in json.dumps(json.loads(script))
    assert "Score on inherited weights against true accuracy" in charts(tmp_path / "report.html")
