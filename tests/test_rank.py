"""Rankings are compared as the definitions say, equal networks are known, and ``rank`` scores nothing twice."""

from __future__ import annotations

import json
import math
import shutil
import statistics
from collections.abc import Sequence
from dataclasses import asdict, astuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from scoring_reference import score_one
from sparsenas.__main__ import main
from sparsenas.core.arch import Arch, every_arch
from sparsenas.core.canonical import Canonical
from sparsenas.core.derive import derive
from sparsenas.core.gate import Gate, choices, set_gates
from sparsenas.costs import CostTable, trace
from sparsenas.costs.trace import trace_through
from sparsenas.data.sources.digits import digits
from sparsenas.errors import UserError
from sparsenas.job.folder import open_task
from sparsenas.job.plugin import Plugin
from sparsenas.job.stages.truth import known_archs
from sparsenas.job.task import make_task
from sparsenas.objectives import Classification
from sparsenas.rundir.folder import Run
from sparsenas.rundir.records import Best
from sparsenas.searching.benchmark_table import BenchmarkTable, load_benchmark_table
from sparsenas.searching.eval_batches import EvalBatches, make_eval_batches
from sparsenas.searching.evolution import Score
from sparsenas.searching.population_evaluator import Scorer, score_population
from sparsenas.searching.rank_correlation import Agreement, agreement, one_of_each, place
from sparsenas.spaces import nasbench_macro, tiny
from sparsenas.testing import shaken

CLASSES = Classification(10)

QUICK = [
    "--space.width=8", "--space.blocks=3", "--search.epochs=2", "--method.population=6", "--method.generations=2",
    "--method.parents=3", "--method.mutants=3", "--method.crossovers=3", "--score.val=120", "--accelerator=cpu",
    "--threads=1", "--budget", "flops<=60e3",
]  # fmt: skip
pairs = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=2, max_size=14)


def kendall(a: Sequence[float], b: Sequence[float]) -> float:
    """Tau-b pair by pair."""
    agree = tied_a = tied_b = 0
    for i in range(len(a)):
        for j in range(i):
            x, y = np.sign(a[i] - a[j]), np.sign(b[i] - b[j])
            agree, tied_a, tied_b = agree + int(x * y), tied_a + (x == 0), tied_b + (y == 0)
    every = len(a) * (len(a) - 1) / 2
    return agree / math.sqrt((every - tied_a) * (every - tied_b))


def spearman(a: Sequence[float], b: Sequence[float]) -> float:
    """Pearson's correlation of mean ranks found by counting."""
    x, y = ([sum(o < v for o in all_) + sum(o == v for o in all_) / 2 for v in all_] for all_ in (a, b))
    mx, my = sum(x) / len(x), sum(y) / len(y)
    above = sum((p - mx) * (q - my) for p, q in zip(x, y, strict=True))
    return above / math.sqrt(sum((p - mx) ** 2 for p in x) * sum((q - my) ** 2 for q in y))


@given(pairs)
def test_agreement_is_as_defined(rows: list[tuple[int, int]]) -> None:
    a, b = ([float(row[i]) for row in rows] for i in (0, 1))
    got = agreement(a, b)
    assert got.rows == len(rows)
    if len(set(a)) == 1 or len(set(b)) == 1:
        assert (got.tau, got.rho) == (None, None)
        return
    assert got.tau == pytest.approx(kendall(a, b))
    assert got.rho == pytest.approx(spearman(a, b))


def test_agreement_of_next_to_nothing() -> None:
    assert agreement([], []) == Agreement(0, None, None)
    assert agreement([1.0], [2.0]) == Agreement(1, None, None)
    assert agreement([1.0, math.nan], [1.0, 2.0]) == Agreement(2, None, None)
    assert astuple(agreement([1.0, 2.0], [5.0, 3.0])) == pytest.approx((2, -1.0, -1.0))


@given(st.lists(st.integers(0, 9), min_size=1, max_size=12), st.data())
def test_places(values: list[int], data: st.DataObject) -> None:
    value = data.draw(st.sampled_from(values))
    got = place(value, values)
    assert sorted(values, reverse=True)[got.rank - 1] == value
    assert sorted(values, reverse=True).index(value) == got.rank - 1
    assert (got.of, got.best, got.gap) == (len(values), max(values), max(values) - value)


@given(st.lists(st.integers(0, 9), max_size=12))
def test_one_row_of_every_kind(rows: list[int]) -> None:
    kinds = [row - row % 3 for row in rows]
    chosen = one_of_each(rows, kinds)
    assert chosen == sorted(chosen)
    assert sorted(kinds[i] for i in chosen) == sorted(set(kinds))
    assert all(rows[i] == kinds[i] or kinds[i] not in rows for i in chosen)


def test_the_benchmark_has_3969_networks() -> None:
    """The canonical form tells apart what differs in structure, and only that, over all 6561 codes."""
    net = nasbench_macro().eval()
    assert isinstance(net, Canonical)
    archs = list(every_arch(choices(net)))
    canonical = [net.canonical(arch) for arch in archs]
    assert len(archs) == 6561
    assert len(set(canonical)) == 3969
    assert all(net.canonical(arch) == arch for arch in canonical)
    assert net.canonical(Arch.from_text(choices(net), "00010202")).text() == "00010220"
    shape, layers = (1, 3, 32, 32), {}
    for name, part in zip(["stem", *choices(net), "head"], net, strict=True):
        for pick in range(3 if choices(part) else 1):
            set_gates(part, {name: Gate((pick,))})
            layers[name, pick], after = trace_through(part, shape)
        shape = after
    structures = {arch: tuple(x for n in arch for x in layers[n, arch[n][0]]) for arch in archs}
    assert len(set(structures.values())) == 3969
    assert all(structures[arch] == structures[same] for arch, same in zip(archs, canonical, strict=True))


def test_equal_codes_cost_the_same() -> None:
    net = nasbench_macro()
    table = CostTable(net, (3, 32, 32))
    archs = list(every_arch(table.choices))
    costs, same = table(archs), table([net.canonical(arch) for arch in archs])  # type: ignore[operator]
    assert all(np.array_equal(costs[cost], same[cost]) for cost in costs)
    arch = Arch.from_text(table.choices, "21012002")
    plain = [derive(net, a.gates()) for a in (arch, net.canonical(arch))]  # type: ignore[operator]
    assert type(plain[0]) is nn.Sequential
    assert trace(plain[0], (3, 32, 32)) == trace(plain[1], (3, 32, 32))


@torch.no_grad()
def test_without_calibration_statistics_stay() -> None:
    """The population evaluator equals the slow reference, which equals the supernet in eval mode."""
    data, net = digits(), shaken(tiny(width=8, blocks=3)).eval()
    eval_batches = make_eval_batches(data, calibration=0, val=120, batch=50, seed=0)
    assert eval_batches.calibration == ()
    rng = np.random.default_rng(0)
    archs = [Arch.sample(choices(net), rng) for _ in range(12)]
    ours, reference = (
        score_population(net, archs, eval_batches, CLASSES),
        [score_one(net, arch, eval_batches) for arch in archs],
    )
    assert [score["accuracy"] for score in ours] == [score["accuracy"] for score in reference]
    assert np.allclose([s["loss"] for s in ours], [s["loss"] for s in reference], rtol=1e-5)
    for arch, score in zip(archs, ours, strict=True):
        set_gates(net, arch.gates())
        hits = sum(int((net(x).argmax(1) == labels).sum()) for x, labels in eval_batches.val_batches)
        assert score["accuracy"] == hits / 120
    calibrated = make_eval_batches(data, 100, 120, 50, 0)
    assert score_population(net, archs, EvalBatches(calibrated.calibration, eval_batches.val_batches), CLASSES) != ours


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small search with a random search beside it."""
    path = tmp_path_factory.mktemp("searched") / "run"
    assert main(["search", "--out", str(path), "--random_search", "14", *QUICK]) == 0
    return path


@pytest.fixture(scope="module")
def table(searched: Path) -> Path:
    """True accuracies of random architectures and of the found one, in the shape of NAS-Bench-Macro."""
    rng, questions = np.random.default_rng(0), choices(tiny(width=8, blocks=3))
    archs = [Arch.sample(questions, rng).text() for _ in range(30)] + [json.loads(text(searched, "best.json"))["text"]]
    accuracies = {arch: {"mean_acc": float(rng.uniform(80, 95)), "flops": 1} for arch in archs}
    path = searched.parent / "table.json"
    path.write_text(json.dumps(accuracies))
    return path


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[Arch]:
    """Every architecture that is scored from now on."""
    archs: list[Arch] = []
    score = Scorer.__call__

    def counting(self: Scorer, some: Sequence[Arch], *others: Any) -> list[Score]:
        archs.extend(some)
        return score(self, some, *others)

    monkeypatch.setattr(Scorer, "__call__", counting)
    return archs


def text(run: Path, name: str) -> str:
    return (run / name).read_text()


def lines(run: Path, name: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text(run, name).splitlines()]


def test_rank(searched: Path, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = shutil.copytree(searched, tmp_path / "run")
    flags = ["rank", str(run), "--table", str(table), "--accelerator", "cpu"]
    assert main([*flags, "--calibration=0", "--calibration", "64", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    kept = json.loads(text(run, "rank.json"))
    truth = kept.pop("truth")
    assert told.pop("found") == json.loads(text(run, "truth.json"))
    assert told == kept
    assert (told["rows"], told["table"]) == (31, "table.json")
    assert [(m["by"], m.get("calibration")) for m in told["measures"]] == [
        ("accuracy", 0), ("loss", 0), ("accuracy", 64), ("loss", 64), ("flops", None), ("params", None)
    ]  # fmt: skip
    scored = lines(run, "rank.jsonl")
    assert len(scored) == 2 * len(truth) == 2 * told["networks"]
    for measure in told["measures"][:4]:
        some = [line for line in scored if line["calibration"] == measure["calibration"]]
        sign = 1 if measure["by"] == "accuracy" else -1
        values = [sign * line["metrics"][measure["by"]] for line in some]  # type: ignore[operator]
        assert measure["distinct"] == asdict(agreement(values, [truth[line["text"]] for line in some]))
    best = json.loads(text(run, "best.json"))["text"]
    known = json.loads(table.read_text())
    found = json.loads(text(run, "truth.json"))["standings"][0]
    assert 100 * found["accuracy"] == pytest.approx(known[best]["mean_acc"])
    assert found["all"]["rank"] == 1 + sum(row["mean_acc"] > known[best]["mean_acc"] for row in known.values())
    assert found["distinct"]["of"] == told["networks"]
    assert found["legal"]["of"] < 31
    assert main(flags) == 0
    assert f"found {best}: true accuracy" in capsys.readouterr().out
    assert "Kendall tau" in text(run, "report.html")


def test_a_run_is_told_the_truth_of_what_it_found(
    searched: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By every column; nothing of what the search does depends on the table."""
    limits = open_task(searched, torch.device("cpu"))[1].limits
    best = Run(searched).read(Best).text
    known = {arch.text(): arch for arch in [*every_arch(limits.choices)][::7]}
    known[best] = Arch.from_text(limits.choices, best)
    rng, table = np.random.default_rng(0), tmp_path / "table.csv"
    rows = {name: rng.uniform(0.1, 0.9, 2) for name in known}
    table.write_text("arch,one,two\n" + "".join(f'"{name}",{a},{b}\n' for name, (a, b) in rows.items()))
    out, quick = tmp_path / "out", ["--budget", "flops<=60e3", *(f for f in QUICK if f.startswith("--method"))]
    assert main(["evolve", str(searched), "--out", str(out), *quick, "--table", str(table), "--accelerator=cpu"]) == 0
    told = "".join(capsys.readouterr())
    assert f"found {best}: true accuracy" in told
    assert text(out, "best.json") == text(searched, "best.json")
    costs = {name: limits.table.exact(arch)["flops"] for name, arch in known.items()}
    truth = json.loads(text(out, "truth.json"))
    assert [one["column"] for one in truth["standings"]] == ["one", "two"]
    for i, one in enumerate(truth["standings"]):
        within = {name: rows[name][i] for name in known if costs[name] <= 60e3}
        assert (one["accuracy"], one["legal"]["of"]) == (rows[best][i], len(within))
        assert one["legal"]["rank"] == 1 + sum(value > rows[best][i] for value in within.values())
        assert one["best"]["accuracy"] == max(within.values())
        most = max(costs[name] for name in within)
        dearest = [within[name] for name in within if costs[name] == most]
        assert one["most_expensive"] == {"cost": most, "accuracies": dearest}
        assert f"({len(dearest)}) have {statistics.mean(dearest):.2%} on average" in told
        close = [name for name in known if name != best and abs(costs[name] - costs[best]) <= 0.05 * costs[best]]
        assert one["equal_cost"] == [rows[name][i] for name in close]
        assert f"{100 * one['accuracy']:.2f}" in text(out, "report.html")
    assert "True accuracy" in text(out, "report.html")


def test_scores_may_be_moved_to_an_additive_model(searched: Path, table: Path, tmp_path: Path) -> None:
    run = shutil.copytree(searched, tmp_path / "run")
    flags = ["rank", str(run), "--table", str(table), "--accelerator", "cpu", "--calibration=64", "--shrink", "0.5"]
    assert main(flags) == 0
    kept = json.loads(text(run, "rank.json"))
    names = [measure["by"] for measure in kept["measures"]]
    assert names == ["accuracy", "loss", "accuracy, shrunk", "loss, shrunk", "flops", "params"]
    assert kept["measures"][1]["all"] != kept["measures"][3]["all"]
    assert main([*flags[:-1], "2"]) == 2


def test_no_score_is_computed_twice(
    searched: Path, table: Path, tmp_path: Path, counted: list[Arch], capsys: pytest.CaptureFixture[str]
) -> None:
    run = shutil.copytree(searched, tmp_path / "run")
    flags = ["rank", str(run), "--table", str(table), "--accelerator", "cpu", "--calibration=64", "--block=4"]
    assert main([*flags, "--sample=8"]) == 0
    assert "8 architectures: a rank correlation of fewer than 10 says little" in capsys.readouterr().out
    few = json.loads(text(run, "rank.json"))
    assert len(counted) == len(set(counted)) == len(few["truth"]) <= 8
    assert main(flags) == 0
    every = text(run, "rank.json")
    assert few["truth"].items() <= json.loads(every)["truth"].items()
    assert len(counted) == len(set(counted)) == len(json.loads(every)["truth"])
    kept = text(run, "rank.jsonl")
    (run / "rank.jsonl").write_text(kept[: len(kept) // 2])  # as after a kill
    before = len(counted)
    assert main(flags) == 0
    assert text(run, "rank.json") == every
    assert sorted(text(run, "rank.jsonl").splitlines()) == sorted(kept.splitlines())
    assert len(counted) - before == len(kept.splitlines()) - kept[: len(kept) // 2].count("\n")


def test_tables_of_every_shape_say_the_same(tmp_path: Path) -> None:
    known = {"0": 0.5, "12": 0.25, "3,1": 1.0}
    shapes = {
        "macro": json.dumps({a: {"mean_acc": 100 * v, "test_acc": []} for a, v in known.items()}),
        "named": json.dumps({a: {"accuracy": v} for a, v in known.items()}),
        "plain": json.dumps(known),
        "list": json.dumps([{"arch": a, "accuracy": v, "run": 1} for a, v in known.items()]),
        "csv": '0,50\n12,25\n"3,1",100\n',
        "header": '\ufeffaccuracy, run, arch\n50,1,0\n25,1, 12\n\n100,1,"3,1"\n',
    }
    for name, content in shapes.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
        table = load_benchmark_table(tmp_path / name)
        assert table.columns.keys() == {"accuracy"}, name
        assert dict(zip(table.archs, table.columns["accuracy"], strict=True)) == pytest.approx(known), name
    (tmp_path / "labels").write_text('[{"arch": {"a": "b"}, "accuracy": 1}, {"arch": "0", "accuracy": 0}]')
    assert load_benchmark_table(tmp_path / "labels") == (('{"a": "b"}', "0"), {"accuracy": (1.0, 0.0)})


def test_tables_of_several_columns(tmp_path: Path) -> None:
    """All columns of numbers, or those that are asked for; each is in percent or not by itself."""
    csv, macro = tmp_path / "csv", tmp_path / "macro"
    csv.write_text("arch,cell,first,second\n0,|none~0|,50,0.5\n1,|skip~0|,75,1\n")
    assert load_benchmark_table(csv) == (("0", "1"), {"first": (0.5, 0.75), "second": (0.5, 1.0)})
    assert load_benchmark_table(csv, ["second"]).columns == {"second": (0.5, 1.0)}
    macro.write_text('{"0": {"mean_acc": 50, "other": 25}, "1": {"mean_acc": 60, "other": 75}}')
    assert load_benchmark_table(macro).columns == {"accuracy": (0.5, 0.6)}
    assert load_benchmark_table(macro, ["other", "mean_acc"]).columns == {"other": (0.25, 0.75), "mean_acc": (0.5, 0.6)}
    for path, told in (
        (csv, "third, got the columns arch, cell, first, second"),
        (macro, "third, got mean_acc, other"),
    ):
        with pytest.raises(UserError, match=told):
            load_benchmark_table(path, ["third"])


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("{", "table: expected JSON, got"),
        ("[" * 100_000, "table: expected JSON, got"),
        ("", "expected at least two architectures with their accuracies, got 0"),
        ('{"0": 1}', "got 1"),
        ("[1, 2]", "entry 1: expected an object with arch and accuracy, got '1'"),
        ('[{"accuracy": 1}]', "entry 1: expected an object with arch and accuracy"),
        ('[{"arch": 7, "accuracy": 1}]', "entry 1: expected an architecture as text, got 7"),
        ('{"0": {"acc": 1}}', "entry '0': expected one of mean_acc, accuracy, got acc"),
        ('{"0": "high", "1": 1}', "entry '0': expected an accuracy within 0..1 or 0..100, got 'high'"),
        ('{"0": true, "1": 1}', "entry '0': expected an accuracy within 0..1 or 0..100, got True"),
        ('{"0": NaN, "1": 1}', "entry '0': expected an accuracy"),
        ("0,90\n1,101\n", "line 2: expected an accuracy within 0..1 or 0..100, got '101'"),
        ("0,90\n1\n", "line 2: expected an architecture and an accuracy, got 1"),
        ("arch,accuracy\n0,1,90\n", "line 2: expected 2 columns as in the header, got 3"),
        ("0,90\n0,91\n", "line 2: architecture 0 is given twice"),
        ("cell,accuracy\n0,90\n1,91\n", "table: expected a column arch, got the columns cell, accuracy"),
        ("0,90,1\n", "table: expected a column arch, got the columns 0, 90, 1"),
        ('0,"90\n', "table: expected CSV, got"),
        ("\udcff", "table: expected a table of architectures and accuracies, got"),
    ],
)
def test_bad_tables_get_one_line(content: str, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "table"
    path.write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(UserError) as error:
        load_benchmark_table(path)
    assert expected in str(error.value)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ([], "expected --table, got none"),
        (["--table", "nowhere"], "nowhere: expected a table"),
        (["--table", "strange"], "strange: expected architectures of the run's space: architecture '012': expected 6"),
        (["--table", "TABLE", "--column", "other"], "expected other, got mean_acc, flops"),
        (["--table", "TABLE", "--sample", "-1"], "--sample: expected >= 0, got -1"),
        (["--table", "TABLE", "--calibration", "9999"], "--calibration: expected 0 to 1077 images, got 9999"),
        (["--table", "TABLE", "--val", "-5"], "--val: expected 0 to 360 images, got -5"),
    ],
)  # fmt: skip
def test_mistakes_get_one_line(
    flags: list[str], expected: str, searched: Path, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("strange").write_text("012,90\n021,91\n")
    assert main(["rank", str(searched), *(str(table) if flag == "TABLE" else flag for flag in flags)]) == 2
    error = capsys.readouterr().err
    assert expected in error
    assert error.count("\n") == 1
    assert not (searched / "rank.json").exists()


def test_rows_of_the_benchmark_are_deduplicated(tmp_path: Path) -> None:
    task = make_task(Plugin("nasbench_macro"), Plugin("digits"), Plugin("classification"), [], 0, torch.device("cpu"))
    codes = ["00101000", "00110000", "00111000", "12000002"]
    known = known_archs(task, tmp_path, BenchmarkTable(tuple(codes), {"accuracy": (0.5,) * 4}))
    assert [arch.text() for arch in known.networks] == ["00110000", "00110000", "00111000", "12000020"]
    assert known.distinct() == [1, 2, 3]
    assert [arch.text() for arch in known.subset([1, 3]).archs] == ["00110000", "12000002"]


def test_random_search_beside_the_evolution(searched: Path, tmp_path: Path, counted: list[Arch]) -> None:
    """As many as asked, legal, distinct, and none that the evolution had cached_scores for is scored again."""
    evolved, random = lines(searched, "archs.jsonl"), lines(searched, "random.jsonl")
    assert len(random) == len({line["text"] for line in random}) == 14
    assert all(line.keys() == evolved[0].keys() and line["costs"]["flops"] <= 60e3 for line in random)  # type: ignore[operator]
    both = {line["text"]: line["metrics"] for line in evolved}
    assert all(both.get(line["text"], line["metrics"]) == line["metrics"] for line in random)
    run = shutil.copytree(searched, tmp_path / "run")
    (run / "best.json").unlink()  # as after a kill during the random search
    (run / "random.jsonl").write_text("".join(text(run, "random.jsonl").splitlines(True)[:5]) + '{"torn')
    assert main(["search", "--out", str(run), "--resume"]) == 0
    for name in ("archs.jsonl", "random.jsonl", "best.json"):
        assert text(run, name) == text(searched, name)
    cached_scores = {line["text"] for line in [*evolved, *random[:5]]}
    assert sorted(arch.text() for arch in counted) == sorted(
        str(x["text"]) for x in random if x["text"] not in cached_scores
    )
    counted.clear()
    out = tmp_path / "evolved"
    again = ["--budget", "flops<=60e3", "--random_search", "14", *(f for f in QUICK if f.startswith("--method"))]
    assert main(["evolve", str(searched), "--out", str(out), "--accelerator=cpu", *again]) == 0
    assert counted == []
    assert text(out, "random.jsonl") == text(searched, "random.jsonl")


def test_evaluation_calibrates_as_the_search_did(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = [flag for flag in QUICK if "val" not in flag]
    assert main(["search", "--out", str(tmp_path), *flags, "--score.calibration=0", "--method.generations=1"]) == 0
    best = Run(tmp_path).read(Best)
    assert best.val is not None
    capsys.readouterr()
    assert main(["evaluate", str(tmp_path), "--arch", "found", "--split", "val", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == best.val["accuracy"]
