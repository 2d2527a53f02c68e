"""Budgets of latency: candidates are measured whole, and the found one keeps the budget when it runs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fake_timing import Clock, FakeEngine, measured
from sparsenas.__main__ import main
from sparsenas.core.arch import Arch, every_arch
from sparsenas.core.choice import Choice
from sparsenas.costs import Budget, Limits
from sparsenas.costs.budget import Bound
from sparsenas.costs.ends import smallest_and_largest
from sparsenas.costs.latency import LATENCY, LatencyTable
from sparsenas.errors import UserError
from sparsenas.job.flag_groups import Finalists
from sparsenas.job.plugin import Plugin
from sparsenas.job.stages import measured as stage
from sparsenas.job.stages.latency import engine_of
from sparsenas.job.stages.measured import check_measured, measured_first, next_turn
from sparsenas.job.task import Task, make_task
from sparsenas.rundir.folder import Run
from sparsenas.rundir.records import MEASURED, MeasuredCandidate, MeasuredLargest
from sparsenas.rundir.results import results
from sparsenas.spaces import tiny
from sparsenas.timing import Timer, read_table, write_table

SPACE = Plugin("tiny", {"width": 4, "blocks": 2})
FEW = 30


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> LatencyTable:
    return measured(tiny(width=4, blocks=2), (1, 8, 8), tmp_path_factory.mktemp("latency") / "table.json")


@pytest.fixture(scope="module")
def plain(table: LatencyTable) -> Task:
    """The task without a budget."""
    return make_task(SPACE, Plugin("digits"), Plugin("classification"), [], 0, torch.device("cpu"), latency=table)


Search = Callable[[float, float], tuple[Task, list[Arch], FakeEngine]]


@pytest.fixture
def search(plain: Task, monkeypatch: pytest.MonkeyPatch) -> Search:
    """Candidates under a budget, whose networks take a factor of what the table says, and the engine."""

    def made(factor: float, share: float) -> tuple[Task, list[Arch], FakeEngine]:
        clock = Clock()
        engine = FakeEngine(clock, factor, start=0)
        monkeypatch.setattr(stage, "engine_of", lambda table: engine)
        monkeypatch.setattr(stage.Timer, "of", lambda settings: Timer(0, 2, clock=clock))
        table = plain.limits.table
        low, high = (table.exact(arch)[LATENCY] for arch in table.extremes(LATENCY))
        task = replace(plain, limits=Limits(table, [Budget(LATENCY, at_most=low + share * (high - low))]))
        archs = [arch for arch in every_arch(task.choices) if task.limits.legal([arch])[0]]
        return task, archs[:: -(-len(archs) // FEW)], engine

    return made


def whole_ms(task: Task, arch: Arch, factor: float) -> float:
    return factor * task.costs(arch)[LATENCY]


def scores(order: list[Arch]) -> dict[Arch, dict[str, float]]:
    return {arch: {"accuracy": 1 - i / 100, "loss": float(i)} for i, arch in enumerate(order)}


def test_the_best_one_that_keeps_the_budget_when_it_runs_is_found(search: Search, tmp_path: Path) -> None:
    task, order, engine = search(1.3, 0.8)
    order.sort(key=lambda arch: -task.costs(arch)[LATENCY])  # the best ones are too slow
    bound, run = task.limits.budgets[0].at_most, Run(tmp_path)
    fits = [arch for arch in order if whole_ms(task, arch, 1.3) <= bound]
    assert 0 < len(fits) < len(order) - 5
    found, warning = measured_first(run, task, Finalists(), order, scores(order))
    assert warning == ""
    lines = run.lines(MEASURED, MeasuredCandidate)
    for line in lines:
        arch = Arch.from_json(task.choices, line.arch)
        assert line.table_ms == task.costs(arch)[LATENCY]
        assert line.rounds_ms == pytest.approx([whole_ms(task, arch, 1.3)] * 3, abs=1e-5)
        assert line.within == (arch in fits)
    assert all(arch in fits for arch in found)
    assert found == [arch for arch in order if arch in found]
    told = results(run).table_error
    assert told is not None
    assert (told.networks, told.within) == (len(lines), len(found))
    assert told.rank_correlation == pytest.approx(1)
    assert len(lines) < len(order)

    before = engine.networks
    assert measured_first(run, task, Finalists(), order, scores(order)) == (found, "")
    assert engine.networks == before
    assert run.lines(MEASURED, MeasuredCandidate) == lines


def test_a_percentage_is_one_of_the_largest_network_when_it_runs(search: Search, tmp_path: Path) -> None:
    task, order, engine = search(3, 1.0)
    largest = smallest_and_largest(task.limits.table)[1]
    most = whole_ms(task, largest, 3)
    part, wide = (Bound.parse(text, [LATENCY]) for text in ("latency_ms<=70%", "latency_ms<=1000"))
    limits = Limits(task.limits.table, [part.budget(task.costs(largest))])
    order = [arch for arch in order if limits.legal([arch])[0]]
    task, run = replace(task, limits=limits, bounds=(part, wide)), Run(tmp_path)
    found, warning = measured_first(run, task, Finalists(count=3), order, scores(order))
    assert (found, warning) == (order[:3], "")
    kept, told = run.read(MeasuredLargest), results(run).table_error
    assert told is not None
    assert kept.measured_ms == pytest.approx(most, abs=1e-5)
    assert kept.table_ms == task.costs(largest)[LATENCY]
    assert told.budget_ms == pytest.approx(0.7 * most, abs=1e-5)
    networks = engine.networks
    assert measured_first(run, task, Finalists(count=3), order, scores(order)) == (found, "")
    assert engine.networks == networks


def test_as_many_are_found_as_are_trained_then(search: Search, tmp_path: Path) -> None:
    task, order, _ = search(0.5, 1.0)
    found, _ = measured_first(Run(tmp_path), task, Finalists(count=7, measure=2), order, scores(order))
    assert found == order[:7]


def test_where_none_keeps_it_a_line_tells_by_how_much(
    search: Search, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task, order, _ = search(100, 0.7)
    found, warning = measured_first(Run(tmp_path), task, Finalists(measure=4), order, scores(order))
    cheapest = min(order, key=lambda arch: task.costs(arch)[LATENCY])
    assert found == [cheapest]
    more = whole_ms(task, cheapest, 100) / task.limits.budgets[0].at_most - 1
    told = re.fullmatch(
        r"none of (\d+) candidates measured whole keeps latency_ms<=\S+; the fastest takes \S+ ms, (\S+)% more", warning
    )
    assert told
    assert int(told[1]) == 8  # the best four, then the cheapest four
    assert float(told[2]) == pytest.approx(100 * more, abs=0.06)
    assert warning in capsys.readouterr().err


def test_the_table_alone_may_decide(search: Search, tmp_path: Path) -> None:
    task, order, engine = search(100, 0.7)
    assert measured_first(Run(tmp_path), task, Finalists(measure=0), order, {}) == (order, "")
    assert engine.networks == 0


@given(st.lists(st.floats(0.1, 1), min_size=1, max_size=12), st.lists(st.booleans(), min_size=12), st.integers(1, 4))
def test_turns_end_and_take_each_once(sums: list[float], within: list[bool], size: int) -> None:
    choices = {"n": Choice("n", tuple(map(str, range(12))))}
    order = [Arch(choices, {"n": (i,)}) for i in range(len(sums))]
    table, done = dict(zip(order, sums, strict=True)), dict[Arch, MeasuredCandidate]()
    while turn := next_turn(order, table, done, 1.0, size):
        assert len(turn) <= size
        assert not done.keys() & set(turn)
        if not done:
            assert turn == order[:size]
        for arch in turn:
            slow = table[arch] * (1 if within[order.index(arch)] else 3)
            done[arch] = MeasuredCandidate(
                arch={}, text="", metrics={}, table_ms=table[arch], rounds_ms=[slow], spread_ms=0, within=slow <= 1
            )
    assert min(order, key=lambda arch: table[arch]) in done


def test_the_table_of_another_machine_is_refused_before_any_training(
    search: Search, table: LatencyTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, *_ = search(1, 0.7)
    monkeypatch.setattr(stage, "engine_of", engine_of)
    check_measured(Finalists(), Run(tmp_path), task)
    many = replace(table.settings, threads=4096)
    for name, value, told in (
        ("device", "abacus", "of abacus, this is "),
        ("settings", many, "of 4096 threads, this "),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(table, name, value)
            with pytest.raises(UserError, match=rf"^--latency: the table is {told}.*or --finalists.measure 0, .*$"):
                check_measured(Finalists(), Run(tmp_path), task)
            check_measured(Finalists(measure=0), Run(tmp_path), task)


def test_a_run_is_refused_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    measured(tiny(width=4, blocks=2), (1, 8, 8), tmp_path / "table.json")
    other = read_table(tmp_path / "table.json")
    other.device = "abacus"
    write_table(tmp_path / "table.json", other)
    space = ["--space=tiny", "--space.width=4", "--space.blocks=2", "--budget=latency_ms<=9"]
    latency = ["--latency", str(tmp_path / "table.json")]
    assert main(["search", *space, *latency, "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("sparsenas: --latency: the table is of abacus, this is ")
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()
    values = json.loads((tmp_path / "table.json").read_text())
    assert values["settings"]["warm"] == 1
    del values["settings"]["warm"]
    (tmp_path / "table.json").write_text(json.dumps(values))
    assert read_table(tmp_path / "table.json").settings.warm == 0
