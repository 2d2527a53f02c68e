"""Latency: every layer of a space is found, rebuilt and timed once, and its table is a cost like any other."""

from __future__ import annotations

import itertools
import json
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import assume, given, settings
from torch import Tensor, nn

import sparsenas
from fake_timing import START_MS, Clock, FakeEngine, fake_ms, measured, tick
from nets import SHAPE, additive, random_net, seeds
from opening_nets import ResNet
from sparsenas.__main__ import main
from sparsenas.core.arch import Arch, every_arch, space_size
from sparsenas.core.choice import Choices
from sparsenas.core.gate import choices, set_gates
from sparsenas.core.join import Join
from sparsenas.costs import COSTS, Budget, CostTable, Layer, Limits, Shape, parse_budgets, trace
from sparsenas.costs.enumerate import enumerate_layers
from sparsenas.costs.latency import LATENCY, LatencyTable, Settings, Timing, measured_part, takes_time
from sparsenas.errors import UserError
from sparsenas.exporting import onnx_feeds
from sparsenas.job.folder import open_task
from sparsenas.job.stages.latency import latency_stage
from sparsenas.rundir.folder import Run
from sparsenas.rundir.results import update_results
from sparsenas.spaces import nasbench_macro, tiny
from sparsenas.timing import (
    Timer,
    check,
    fill,
    missing,
    open_table,
    read_table,
    some_archs,
    verdict,
    write_table,
)
from sparsenas.timing.onnx_layers import model_of
from sparsenas.timing.timer import Trial, Work
from sparsenas.timing.torch_layers import inputs_of, module_of

IMAGE, COLOUR = (1, 8, 8), (3, 32, 32)


def layers_of(net: nn.Module, arch: Arch, shape: Shape) -> list[Layer]:
    set_gates(net, arch.gates())
    return [layer for layer in trace(net, shape) if takes_time(layer)]


# Which layers there are.


def blocks_one_by_one(questions: Choices) -> list[Arch]:
    """All answers to each block's choices of tiny, the other blocks being as they come."""
    blocks = sorted({name.split(".")[0] for name in questions})
    first = Arch(questions, {name: choice.first() for name, choice in questions.items()})
    found = []
    for block in blocks:
        names = [name for name in questions if name.split(".")[0] == block]
        answers = itertools.product(*(questions[name].every() for name in names))
        found += [first.replace(dict(zip(names, picks, strict=True))) for picks in answers]
    return found


def test_the_table_covers_all_of_tiny(tmp_path: Path) -> None:
    # No block changes the shape that the next one sees, so blocks one by one are all there is.
    net = tiny()
    table = measured(net, IMAGE, tmp_path / "table.json")
    archs = blocks_one_by_one(choices(net)) + some_archs(net, 20, seed=1)
    needed = {measured_part(layer) for arch in archs for layer in layers_of(net, arch, IMAGE)}
    assert table.timings.keys() == needed


def test_the_table_covers_all_of_nasbench_macro(tmp_path: Path) -> None:
    net = nasbench_macro()
    table = measured(net, COLOUR, tmp_path / "table.json")
    archs = list(every_arch(choices(net)))
    found = CostTable(net, COLOUR, {LATENCY: table.cost()})
    values = found(archs)[LATENCY]
    assert all(additive(found))
    for i in range(0, len(archs), 400):
        assert values[i] == sum(map(table.cost(), layers_of(net, archs[i], COLOUR)))
    uniform = [Arch(choices(net), dict.fromkeys(choices(net), (pick,))) for pick in range(3)]
    alternating = [Arch.from_text(choices(net), text) for text in ("01201201", "12012012", "20120120")]
    needed = {measured_part(layer) for a in uniform + alternating for layer in layers_of(net, a, COLOUR)}
    assert table.timings.keys() == needed


@settings(max_examples=6)
@given(seeds)
def test_no_layer_of_any_network_is_missed(seed: int) -> None:
    net = random_net(seed)
    assume(space_size(choices(net)) <= 100)
    found = {measured_part(layer) for layer in enumerate_layers(net, SHAPE) if takes_time(layer)}
    needed = {measured_part(layer) for arch in every_arch(choices(net)) for layer in layers_of(net, arch, SHAPE)}
    assert needed <= found


def test_a_large_space_is_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    net = tiny(width=4, blocks=2)
    walked = enumerate_layers(net, IMAGE)
    monkeypatch.setattr("sparsenas.costs.enumerate.MOST_COMBINATIONS", 1)
    assert set(enumerate_layers(net, IMAGE)) == set(walked)


def test_no_layer_of_an_opened_network_is_missed() -> None:
    net = sparsenas.open(ResNet(8), torch.zeros(2, *IMAGE))
    found = {measured_part(layer) for layer in enumerate_layers(net, IMAGE) if takes_time(layer)}
    needed = {measured_part(x) for arch in some_archs(net, 60, seed=5) for x in layers_of(net, arch, IMAGE)}
    assert needed <= found


def test_a_wrong_shape_gets_one_line() -> None:
    with pytest.raises(UserError, match="does not run on an input of shape 3,8,8"):
        enumerate_layers(tiny(), (3, 8, 8))


# Layers are rebuilt.


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layer(x, x, x)[0]
        return out


class Flat(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))


REBUILT: list[tuple[nn.Module, Shape]] = [
    (nn.Conv2d(3, 8, 3, padding=1), (3, 10, 12)),
    (nn.Conv2d(4, 8, (1, 5), stride=(2, 1), padding=(0, 2)), (4, 9, 9)),
    (nn.Conv2d(6, 4, 3, padding=4, dilation=4, groups=2), (6, 8, 8)),
    (nn.Conv1d(3, 5, 3), (3, 9)),
    (nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2), (4, 5, 5)),
    (nn.Linear(7, 5), (7,)),
    (nn.Linear(7, 5), (3, 7)),
    (Attention(), (6, 8)),
    (nn.MaxPool2d(3, 2, 1), (3, 9, 9)),
    (nn.MaxPool2d(2), (3, 8, 8)),
    (nn.MaxPool2d(3, 2, ceil_mode=True), (3, 8, 8)),
    (nn.AvgPool2d(3, 1, 1), (3, 8, 8)),
    (nn.AvgPool2d((2, 4)), (3, 8, 8)),
    (nn.AdaptiveAvgPool2d(1), (3, 8, 8)),
    (nn.AdaptiveAvgPool2d(2), (3, 8, 8)),
    (Flat(), (3, 8, 8)),
]


@pytest.mark.parametrize(("net", "shape"), REBUILT)
def test_a_layer_is_rebuilt_as_it_was(net: nn.Module, shape: Shape) -> None:
    for layer in filter(takes_time, trace(net, shape)):
        module, inputs = module_of(layer), inputs_of(layer, batch=2)
        assert module(*map(torch.randn, inputs)).shape == (2 * layer.output[0], *layer.output[1:])
        if layer.op != "matmul":
            again = [measured_part(found) for found in trace(module, layer.inputs[1:]) if takes_time(found)]
            assert layer.inputs[0] > 1 or again == [measured_part(layer)]
        model = model_of(layer, 2, copies=3)
        session = onnxruntime.InferenceSession(model.content, providers=["CPUExecutionProvider"])
        assert session.run(None, onnx_feeds([*model.inputs], model.inputs))[0].shape == (
            2 * layer.output[0],
            *layer.output[1:],
        )


# How times are taken.


def test_the_timer_takes_turns_and_keeps_medians() -> None:
    clock, order = Clock(), []

    def work(name: str, *times: float) -> Work:
        ms = itertools.chain(times, itertools.repeat(times[-1]))

        def run() -> None:
            order.append(name)
            clock.seconds += next(ms) / 1e3

        return Work(run)

    first, second = Timer(warmup=2, repeats=5, clock=clock)([work("a", 90, 90, 1, 9, 3, 2, 4), work("b", 5)])
    assert order == ["a", "b"] * 7
    assert first == pytest.approx(Timing(3, 2))
    assert second == pytest.approx(Timing(5, 0))


def test_work_runs_before_it_is_timed_where_caches_shall_be_warm() -> None:
    clock, runs = Clock(), []
    timer = Timer(warmup=1, repeats=3, clock=clock, warm=2)
    assert timer([Work(lambda: runs.append(clock.work(2).run()))]) == [pytest.approx((2, 0))]
    assert len(runs) == 4 * 3
    cold = Settings(warm=0, seconds=2.5)
    assert (Timer.of_layers(cold).warm, Timer.of(cold).warm) == (0, 1)
    assert Timer.of(cold).seconds == 2.5


def test_measurements_go_on_for_some_time() -> None:
    runs: list[None] = []
    start = time.monotonic()
    Timer(warmup=0, repeats=1, seconds=0.02)([Work(lambda: runs.append(None))])
    assert len(runs) > 1
    assert time.monotonic() - start >= 0.02


def test_a_burst_is_waited_for_once() -> None:
    clock, waits = Clock(), []
    timer = Timer(warmup=0, repeats=2, burst=4, clock=clock)
    assert timer([Work(clock.work(2).run, lambda: waits.append(clock.work(8).run()))]) == [pytest.approx((4, 0))]
    assert len(waits) == 2


def test_what_a_run_costs_by_itself_is_taken_out() -> None:
    work = Clock().work(0)
    assert Trial(work, work, layers=3).timing(Timing(7, 0.6), Timing(1, 0.1)) == pytest.approx((2, 0.2))
    assert Trial(work, work).timing(Timing(1, 0), Timing(2, 0)) == (0, 0)


# The table as a file.


def test_a_table_goes_round(tmp_path: Path) -> None:
    table = measured(tiny(width=4, blocks=2), IMAGE, tmp_path / "table.json")
    again = read_table(tmp_path / "table.json")
    assert again == table
    assert all(timing == pytest.approx((fake_ms(layer), 0), abs=2e-6) for layer, timing in table.timings.items())


def test_an_interrupted_build_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sparsenas.timing.build.GROUP", 4)
    net, clock, path = tiny(width=4, blocks=2), Clock(), tmp_path / "table.json"
    timer, layers = Timer(0, 1, clock=clock), enumerate_layers(net, IMAGE)
    whole = measured(net, IMAGE, tmp_path / "whole.json")

    def killed(works: Sequence[Work]) -> list[Timing]:
        if path.exists():
            raise KeyboardInterrupt
        return timer(works)

    engine = FakeEngine(clock)
    table = open_table(path, engine.settings, engine)
    with pytest.raises(KeyboardInterrupt):
        fill(table, missing(table, layers), engine, killed, path, tick)
    assert len(read_table(path).timings) == 4
    assert [file.name for file in tmp_path.glob(".*")] == []

    engine = FakeEngine(clock)
    table = open_table(path, engine.settings, engine)
    fill(table, missing(table, layers), engine, timer, path, tick)
    assert len(engine.asked) == len(whole.timings) - 4
    assert table.timings.keys() == whole.timings.keys()
    assert missing(table, layers) == []


def test_tables_of_other_settings_are_not_mixed(tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    measured(tiny(width=4, blocks=1), IMAGE, path)
    with pytest.raises(UserError, match=r"table\.json: this table was measured with batch 1, not 8; choose another"):
        open_table(path, Settings(batch=8), FakeEngine(Clock()))
    values = json.loads(path.read_text())
    path.write_text(json.dumps({**values, "device": "abacus"}))
    with pytest.raises(UserError, match="measured with device abacus, not "):
        open_table(path, Settings(), FakeEngine(Clock()))
    path.write_text(json.dumps({**values, "versions": {**values["versions"], "torch": "0.1"}}))
    with pytest.raises(UserError, match=r"measured with torch 0\.1, not "):
        open_table(path, Settings(), FakeEngine(Clock()))


def without(name: str) -> Callable[[dict[str, Any]], object]:
    return lambda values: {key: value for key, value in values.items() if key != name}


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda values: None, "got: "),
        (lambda values: [values], "got: "),
        (without("layers"), "no 'layers'"),
        (without("settings"), "no 'settings'"),
        (lambda values: {**values, "settings": {"speed": 3}}, "got: "),
        (lambda values: {**values, "settings": {**values["settings"], "batch": "8"}}, "got: settings"),
        (
            lambda values: {**values, "settings": {**values["settings"], "engine": "steam"}},
            "engine torch or onnxruntime",
        ),
        (lambda values: {**values, "layers": [{"op": "conv2d"}]}, "no 'inputs'"),
        (lambda values: {**values, "layers": [{**values["layers"][0], "median_ms": -1}]}, "got: times"),
        (lambda values: {**values, "layers": [{**values["layers"][0], "median_ms": float("nan")}]}, "got: times"),
    ],
)
def test_a_damaged_file_gets_one_line(damage: Callable[[Any], object], message: str, tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    measured(tiny(width=4, blocks=1), IMAGE, path)
    path.write_text(json.dumps(damage(json.loads(path.read_text()))))
    with pytest.raises(UserError, match=r"table\.json: expected [^\n]*$") as caught:
        read_table(path)
    assert message in str(caught.value)


def test_a_torn_or_absent_file_gets_one_line(tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    measured(tiny(width=4, blocks=1), IMAGE, path)
    path.write_text(path.read_text()[:200])
    with pytest.raises(UserError, match="expected a table written by `sparsenas latency`, got: "):
        read_table(path)
    with pytest.raises(UserError, match="got: No such file or directory"):
        read_table(tmp_path / "nowhere.json")


def test_quantized_layers_are_refused() -> None:
    layer = Layer("conv2d", (1, 2, 4, 4), (1, 3, 4, 4), (3, 2, 1, 1), bits=(2, 4))
    with pytest.raises(UserError, match="without bit widths, .* 2-bit weights and 4-bit activations"):
        missing(LatencyTable("", Settings(), {}), [layer])


# The table as a cost.


def test_a_sum_is_exact_and_additive(tmp_path: Path) -> None:
    net = tiny()
    latency = measured(net, IMAGE, tmp_path / "table.json")
    table = CostTable(net, IMAGE, {**COSTS, LATENCY: latency.cost()})
    archs = some_archs(net, 50, seed=2)
    values = table(archs)[LATENCY]
    assert all(additive(table))
    for arch, value in zip(archs, values, strict=True):
        layers = layers_of(net, arch, IMAGE)
        exact = table.exact(arch)
        assert value == exact[LATENCY] == sum(map(latency.cost(), reversed(layers)))
        assert value == pytest.approx(
            sum(latency.timings[measured_part(layer)].median_ms for layer in layers), rel=1e-4
        )
        assert type(exact[LATENCY]) is float
        assert all(type(exact[name]) is int for name in COSTS)


def test_sums_are_held_against_whole_networks(tmp_path: Path) -> None:
    net, clock = tiny(width=4, blocks=2), Clock()
    table = measured(net, IMAGE, tmp_path / "table.json")
    checked = check(table, net, IMAGE, some_archs(net, 6, 0), FakeEngine(clock), Timer(0, 1, clock=clock), tick)
    for network in checked:
        assert network.measured.median_ms == pytest.approx(START_MS + network.table_ms, abs=1e-4)
    found = verdict(checked)
    assert found["networks"] == 6
    assert found["rank_correlation"] == pytest.approx(1)
    assert found["mean_percentage_error"] == pytest.approx(
        np.mean([-100 * START_MS / network.measured.median_ms for network in checked]), abs=0.1
    )
    assert found["mean_absolute_percentage_error"] == pytest.approx(-float(found["mean_percentage_error"] or 0))
    assert verdict([])["mean_absolute_percentage_error"] is None


def test_a_layer_that_was_not_measured_is_named(tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    table = measured(tiny(width=4, blocks=1), IMAGE, path)
    cost = table.cost("`sparsenas latency --space tiny` adds it")
    with pytest.raises(
        UserError, match="none for conv2d 1x1x8x8 -> 1x16x8x8, weight 16x1x3x3, settings 1,1,1,1,1,1,1; "
    ):
        CostTable(tiny(), IMAGE, {LATENCY: cost})
    with pytest.raises(UserError, match=r"table\.json: expected a time for every layer, .*`sparsenas latency --space"):
        CostTable(tiny(), IMAGE, {LATENCY: cost})


@given(seeds)
@settings(max_examples=5)
def test_budgets_are_kept_to_the_last_digit(seed: int) -> None:
    net = nn.Sequential(
        *(Join.of(f"b{i}", {f"{k}": nn.Conv2d(2, 2, k, padding=k // 2) for k in (1, 3, 5)}) for i in range(5))
    )
    rng = np.random.default_rng(seed)
    timings = {
        measured_part(x): Timing(float(rng.uniform(0, 2)), 0) for x in enumerate_layers(net, (2, 6, 6)) if takes_time(x)
    }
    latency = LatencyTable("", Settings(), {}, timings)
    table = CostTable(net, (2, 6, 6), {**COSTS, LATENCY: latency.cost()})
    bound = table.exact(Arch.sample(table.choices, rng))[LATENCY]
    limits = Limits(table, [Budget(LATENCY, at_most=bound)])
    for _ in range(10):
        arch = limits.draw(rng)
        assert arch is not None
        assert table.exact(arch)[LATENCY] <= bound
    just = [arch for arch in every_arch(table.choices) if table.exact(arch)[LATENCY] == bound]
    assert just
    assert limits.legal(just).all()


def test_latency_budgets_want_a_table(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--budget 'latency_ms<=3\.5': expected --latency FILE as well"):
        parse_budgets(["latency_ms<=3.5"])
    assert parse_budgets(["latency_ms<=3.5"], [*COSTS, LATENCY]) == [Budget(LATENCY, at_most=3.5)]
    net = tiny(width=4, blocks=2)
    table = CostTable(net, IMAGE, {LATENCY: measured(net, IMAGE, tmp_path / "table.json").cost()})
    with pytest.raises(UserError, match=r"--budget latency_ms<=0\.001: this space reaches 0\.\d+ to 0\.\d+ latency_ms"):
        Limits(table, [Budget(LATENCY, at_most=0.001)])


# The commands.

SMALL = ["--space.width=8", "--space.blocks=3"]
QUICK = [
    *SMALL, "--search.epochs=2", "--retrain.epochs=1", "--method.population=6", "--method.generations=2",
    "--method.parents=3", "--method.mutants=3", "--method.crossovers=3", "--baselines=1", "--accelerator=cpu",
]  # fmt: skip


@pytest.fixture(scope="module")
def quick_table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table by the real engine, too quick to be true."""
    path = tmp_path_factory.mktemp("latency") / "new" / "table.json"
    flags = ["--warmup=1", "--seconds=0", "--repeats=3", "--networks=2", "--threads=1", "--out", str(path)]
    assert main(["latency", "--space", "tiny", *SMALL, *flags]) == 0
    return path


def costs_of(capsys: pytest.CaptureFixture[str], table: Path, *archs: str) -> list[dict[str, float]]:
    capsys.readouterr()
    flags = [flag for arch in archs for flag in ("--arch", arch)]
    assert main(["cost", "--space", "tiny", *SMALL, "--latency", str(table), "--json", *flags]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def fails(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    capsys.readouterr()
    assert main(list(argv)) == 2
    error = capsys.readouterr().err
    assert error.startswith("sparsenas: ")
    assert error.count("\n") == 1
    return error


def test_the_command_adds_to_its_table(quick_table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "table.json"
    path.write_text(quick_table.read_text())
    before = read_table(path).timings
    capsys.readouterr()
    flags = ["--warmup=1", "--seconds=0", "--repeats=3", "--networks=1", "--threads=1", "--out", str(path)]
    assert main(["latency", "--space", "tiny", "--space.width=6", "--space.blocks=1", *flags, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    after = read_table(path)
    assert before.items() <= after.timings.items()
    assert facts["layers"] == len(after.timings) > len(before)
    assert len(facts["measured"]) == facts["networks"] == 1
    assert facts["rank_correlation"] is None
    assert list(after.checks) == [
        "--space tiny --space.shape 1,8,8 --space.width 8 --space.blocks 3 --space.classes 10",
        "--space tiny --space.shape 1,8,8 --space.width 6 --space.blocks 1 --space.classes 10",
    ]


def test_layers_that_sampling_misses_are_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sparsenas.costs.enumerate.MOST_COMBINATIONS", 1)
    monkeypatch.setattr("sparsenas.costs.enumerate.RANDOM", 0)
    monkeypatch.setattr("sparsenas.costs.enumerate._tabulated", lambda net, shape, seed: {})
    flags = ["--warmup=0", "--seconds=0", "--repeats=1", "--threads=1", "--out", str(tmp_path / "table.json")]
    sizes = []
    for seed in (0, 1):
        assert main(["latency", "--space", "tiny", *SMALL, *flags, "--networks=3", f"--seed={seed}"]) == 0
        sizes.append(len(read_table(tmp_path / "table.json").timings))
    assert sizes[0] < sizes[1]


def test_onnx_runtime_is_an_engine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = [
        "--warmup=1",
        "--seconds=0",
        "--repeats=3",
        "--networks=1",
        "--threads=1",
        "--batch=2",
        "--out",
        str(tmp_path / "t.json"),
    ]
    space = ["--space", "tiny", "--space.width=4", "--space.blocks=1"]
    assert main(["latency", *space, "--engine", "onnxruntime", *flags]) == 0
    assert "1 threads" in capsys.readouterr().out
    table = read_table(tmp_path / "t.json")
    assert table.settings == Settings("onnxruntime", "cpu", 2, 1, 1, 3)
    assert {layer.op for layer in table.timings} == {"conv2d", "mean", "linear"}
    assert "onnxruntime" in table.versions


@pytest.fixture(scope="module")
def finished(quick_table: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """A run under a budget of latency, and that budget."""
    path = tmp_path_factory.mktemp("finished") / "run"
    table = CostTable(tiny(8, 3), IMAGE, {LATENCY: read_table(quick_table).cost()})
    low, high = (table.exact(arch)[LATENCY] for arch in table.extremes(LATENCY))
    bound = round((low + high) / 2, 6)
    flags = ["--latency", str(quick_table), "--budget", f"latency_ms<={bound!r}", "--budget", "flops>=1", *QUICK]
    assert main(["run", "--out", str(path), *flags]) == 0
    return path, bound


def test_a_run_keeps_its_latency_budget(finished: tuple[Path, float], capsys: pytest.CaptureFixture[str]) -> None:
    run, bound = finished
    best = json.loads((run / "best.json").read_text())
    assert 0 < best["costs"][LATENCY] <= bound
    assert type(best["costs"]["flops"]) is int
    assert costs_of(capsys, run / "latency.json", best["text"])[0] == {"arch": best["text"], **best["costs"]}
    lines = [json.loads(line) for line in (run / "archs.jsonl").read_text().splitlines()]
    assert all(line["costs"][LATENCY] <= bound for line in lines)
    assert all(type(line["costs"]["params"]) is int for line in lines)
    low, high = json.loads((run / "choices.json").read_text())["range"][LATENCY]
    assert 0 <= low <= bound <= high
    found = json.loads((run / "results.json").read_text())
    assert found["latency"].keys() == {"table_ms", "measured_ms", "spread_ms"}
    assert found["latency"]["table_ms"] == best["costs"][LATENCY]
    assert found["latency"]["measured_ms"] > 0
    assert all(entry["costs"][LATENCY] <= bound for entry in found["baselines"])


@pytest.mark.usefixtures("unexported")
def test_a_run_with_a_table_is_resumed(finished: tuple[Path, float], capsys: pytest.CaptureFixture[str]) -> None:
    run, bound = finished
    before = {name: (run / name).read_bytes() for name in ("best.json", "results.json", "latency.json")}
    capsys.readouterr()
    assert main(["run", "--out", str(run), "--resume"]) == 0
    assert before == {name: (run / name).read_bytes() for name in before}
    shown = capsys.readouterr().err
    assert "latency_ms, measured whole" in shown
    assert f"latency_ms<={bound!r}" in shown.replace("\n", "")


def test_a_run_is_searched_again_by_latency(finished: tuple[Path, float], tmp_path: Path) -> None:
    run, bound = finished
    flags = [flag for flag in QUICK if flag.startswith("--method")]
    out = tmp_path / "again"
    assert main(["evolve", str(run), "--budget", f"latency_ms<={bound!r}", "--out", str(out), *flags]) == 0
    assert json.loads((out / "best.json").read_text())["costs"][LATENCY] <= bound
    out = tmp_path / "front"
    assert main(["evolve", str(run), "--pareto", "latency_ms", "--out", str(out), *flags]) == 0
    points = [point["costs"][LATENCY] for point in json.loads((out / "front.json").read_text())["points"]]
    assert points == sorted(points)


def test_the_table_of_another_device_is_used_and_not_compared(
    finished: tuple[Path, float], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = shutil.copytree(finished[0], tmp_path / "run")
    table = read_table(run / "latency.json")
    table.device = "abacus"
    write_table(run / "latency.json", table)
    update_results(Run(run), latency=None)
    opened = open_task(run, torch.device("cpu"))
    latency_stage(opened.run, opened.task)
    assert "not measured whole: the table is of abacus, this is " in capsys.readouterr().err.replace("\n", " ")
    found = json.loads((run / "results.json").read_text())["latency"]
    assert found["table_ms"] > 0
    assert found["measured_ms"] is None


def test_mistakes_get_one_line(quick_table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table, out = str(quick_table), str(tmp_path / "out")
    budget = ["--budget", "latency_ms<=3.5"]
    assert "expected --latency FILE as well" in fails(capsys, "run", *budget, "--out", out)
    error = fails(capsys, "run", "--latency", table, "--out", out)
    assert "none for conv2d 1x1x8x8 -> 1x16x8x8" in error
    assert "`sparsenas latency --space tiny --space.shape 1,8,8 --space.classes 10 --space.width 16" in error
    assert error.endswith(f" --out {table}` adds it\n")
    assert "none for conv2d" in fails(capsys, "cost", "--latency", table, "--arch", "full")
    assert "nowhere.json: expected a table" in fails(capsys, "run", "--latency", "nowhere.json", "--out", out)
    assert "--batch: expected >= 1, got 0" in fails(capsys, "latency", "--batch=0", "--out", out)
    assert "--networks: expected >= 0, got -1" in fails(capsys, "latency", "--networks=-1", "--out", out)
    assert "--engine" in fails(capsys, "latency", "--engine", "steam", "--out", out)
    same = ["--out", table, "--warmup=1", "--seconds=0", "--threads=1"]
    assert "measured with repeats 3, not 50" in fails(capsys, "latency", *same)
    for flag, told in (("--threads=2", "threads 1, not 2"), ("--engine=onnxruntime", "engine torch, not onnxruntime")):
        assert told in fails(capsys, "latency", *same, "--repeats=3", flag)
    assert "expected a folder that can be made" in fails(
        capsys, "latency", *SMALL, "--networks=0", "--out", "/dev/null/table.json"
    )
    if not torch.cuda.is_available():
        assert "PyTorch finds none" in fails(capsys, "latency", "--accelerator", "cuda", "--out", out)
    assert not Path(out).exists()
