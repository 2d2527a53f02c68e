"""The command line as a user meets it: the main job, one-line errors, exit codes, a network of one's own."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
import yaml

import sparsenas
from sparsenas.__main__ import COMMANDS, PIPE_CLOSED, main
from sparsenas.commands.run import run as run_command
from sparsenas.core.gate import choices
from sparsenas.data.sources.digits import digits
from sparsenas.errors import UserError
from sparsenas.job import limits
from sparsenas.job.flags.parse import parse
from sparsenas.job.run_flags import RunFlags
from sparsenas.rundir.folder import Run
from sparsenas.rundir.records import ARCHS, Front, Scored
from sparsenas.spaces import SPACES, tiny
from sparsenas.spaces.published import read_arch

QUICK = [
    "--space.width=8", "--space.blocks=3", "--search.epochs=3", "--retrain.epochs=3", "--method.population=6",
    "--method.generations=2", "--method.parents=3", "--method.mutants=3", "--method.crossovers=3", "--baselines=2",
    "--accelerator=cpu", "--budget", "flops<=60e3", "--compare=uniform:conv3,1.0x", "--score.finalists=3",
    "--score.shrink=0.5", "--search.sizes=6,8",
]  # fmt: skip

OWN_SPACE = """
from torch import nn
from sparsenas import Join, SliceBatchNorm2d, SliceConv2d, Width

def conv(inputs, outputs, kernel):
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2), nn.BatchNorm2d(outputs), nn.ReLU()
    )

def make():
    middle = Width("middle", (4, 8, 12))
    return nn.Sequential(
        conv(1, 8, 3),
        Join.of("first", {"conv3": conv(8, 8, 3), "conv5": conv(8, 8, 5), "skip": nn.Identity()}),
        SliceConv2d(8, middle, 3, padding=1), SliceBatchNorm2d(middle), nn.ReLU(), SliceConv2d(middle, 8, 1),
        Join.of("second", {"conv1": conv(8, 8, 1), "conv3": conv(8, 8, 3)}),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10),
    )

def nothing():
    return nn.Linear(1, 1)
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small, complete run."""
    path = tmp_path_factory.mktemp("finished") / "run"
    assert main(["run", "--out", str(path), *QUICK]) == 0
    return path


def fails(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """Runs a command that must fail for the user: exit code 2 and one line, which is returned.

    Lines of progress, which only a slow machine prints, do not count.
    """
    capsys.readouterr()
    assert main(list(argv)) == 2
    printed = capsys.readouterr().err.splitlines(keepends=True)
    error = "".join(line for line in printed if not line.startswith(("prepare: ", "data: ", "after the search: ")))
    assert error.startswith("sparsenas: ")
    assert error.count("\n") == 1
    assert "Traceback" not in error
    return error


def test_the_main_job_leaves_everything(finished: Path) -> None:
    texts = "run.json config.yaml choices.json data.json split.json log.jsonl archs.jsonl best.json results.json"
    names = f"{texts} report.html supernet.pt net.pt net.safetensors net.pt2 net.onnx"
    assert {path.name for path in finished.iterdir()} == set(names.split())
    best = json.loads((finished / "best.json").read_text())
    assert best["costs"]["flops"] <= 60e3
    lines = [json.loads(line) for line in (finished / "archs.jsonl").read_text().splitlines()]
    assert len(lines) == len({line["text"] for line in lines}) <= 18
    assert all(line["costs"]["flops"] <= 60e3 for line in lines)
    assert best["val"]["accuracy"] == max(line["metrics"]["accuracy"] for line in lines)
    results = json.loads((finished / "results.json").read_text())
    assert len(results["baselines"]) == 2
    assert [one["name"] for one in results["compared"]] == ["uniform:conv3,1.0x"]
    assert all(0.9 * best["costs"]["flops"] <= b["costs"]["flops"] <= 60e3 for b in results["baselines"])
    config = yaml.safe_load((finished / "config.yaml").read_text())
    assert config["seed"] == 0
    info = json.loads((finished / "run.json").read_text())
    assert (info["format"], info["command"], info["versions"]["torch"]) == (3, "run", version("torch"))


def test_the_three_forms_of_the_network_agree(finished: Path) -> None:
    data = digits()
    x = data.prepared(data.test.inputs).contiguous()
    with torch.no_grad():
        net = sparsenas.load(finished)
        expected = net(x)
        exported = torch.export.load(finished / "net.pt2").module()(x)
    session = onnxruntime.InferenceSession(str(finished / "net.onnx"))
    onnx = session.run(None, {session.get_inputs()[0].name: x.numpy()})[0]
    assert torch.allclose(expected, exported, atol=1e-5)
    assert np.allclose(expected.numpy(), onnx, atol=1e-4)
    assert not choices(net)
    best = json.loads((finished / "best.json").read_text())
    assert sum(p.numel() for p in net.parameters()) == best["costs"]["params"]
    accuracy = float((expected.argmax(1) == data.test.targets).float().mean())
    assert accuracy == pytest.approx(
        json.loads((finished / "results.json").read_text())["retrained"]["metrics"]["accuracy"]
    )


@pytest.mark.parametrize("flags", [[], ["--onnx"], ["--arch", "found"], ["--arch", "000000"], ["--split", "val"]])
def test_evaluate(finished: Path, flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(finished), "--json", *flags]) == 0
    marks = json.loads(capsys.readouterr().out)
    results = json.loads((finished / "results.json").read_text())
    if flags in ([], ["--onnx"]):
        assert marks["accuracy"] == results["retrained"]["metrics"]["accuracy"]
    if flags == ["--arch", "found"]:
        assert marks["accuracy"] == results["inherited"]["metrics"]["accuracy"]


@pytest.mark.usefixtures("unexported")
def test_resuming_a_finished_run_changes_nothing(finished: Path) -> None:
    before = {name: (finished / name).read_bytes() for name in ("best.json", "net.pt", "supernet.pt", "archs.jsonl")}
    assert main(["run", "--out", str(finished), "--resume"]) == 0
    assert before == {name: (finished / name).read_bytes() for name in before}


def test_retraining_again(finished: Path, tmp_path: Path) -> None:
    run = shutil.copytree(finished, tmp_path / "again")
    assert main(["retrain", str(run), "--retrain.epochs=1", "--inherit", "--retrain.ema=0.9"]) == 0
    assert (run / "net.pt").read_bytes() != (finished / "net.pt").read_bytes()
    assert main(["export", str(run)]) == 0
    assert main(["report", str(run)]) == 0


@pytest.mark.usefixtures("unexported")
def test_a_users_own_network_is_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mynet.py").write_text(OWN_SPACE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    flags = [flag for flag in QUICK if not flag.startswith(("--space", "--compare"))]
    assert main(["run", "--space", "mynet:make", "--out", "own", *flags]) == 0
    best = json.loads(Path("own/best.json").read_text())
    assert set(best["arch"]) == {"first", "middle", "second"}
    assert best["costs"]["flops"] <= 60e3
    told = "config.yaml: space mynet:make is not built in; to run its code, add --trust-plugins mynet:make"
    for command in (["evaluate"], ["export"], ["retrain"], ["evolve", "--out=again"], ["run", "--resume", "--out"]):
        assert told in fails(capsys, *command, "own")
    trust = ["--trust-plugins", "mynet:make"]
    assert main(["evaluate", "own", *trust]) == 0
    assert main(["evolve", "own", "--out=again", *trust, *[flag for flag in flags if "method" in flag]]) == 0
    assert main(["retrain", "again", "--retrain.epochs=1", "--target.nothing=1", *trust]) == 2
    assert main(["run", "--resume", "--out", "own", "--space", "mynet:make"]) == 0
    assert main(["report", "own"]) == 0
    assert not choices(sparsenas.load("own", trust_plugins=["mynet:make"]))
    with pytest.raises(UserError, match="space mynet:make is not built in"):
        sparsenas.load("own")
    (tmp_path / "mynet.py").write_text(OWN_SPACE.replace('"skip"', '"none"'))
    monkeypatch.delitem(sys.modules, "mynet")
    told = "the options of its choice first are conv3, conv5, none, not conv3, conv5, skip"
    assert told in fails(capsys, "evaluate", "own", *trust)


def test_the_python_function_is_the_command(tmp_path: Path) -> None:
    (flags,) = parse(run_command, QUICK).values()
    ours = RunFlags(
        budget=["flops<=200e3"], out=tmp_path / "run", accelerator="cpu", baselines=0, resume=True, space=flags.space,
        method=flags.method, search=flags.search, retrain=flags.retrain,
    )  # fmt: skip
    run_command(ours)
    assert (tmp_path / "run" / "net.onnx").exists()
    with pytest.raises(UserError, match="--seed: the run to resume has 0, got 1"):
        run_command(replace(ours, seed=1))
    with pytest.raises(UserError, match="expected a new folder, this one has a run"):
        run_command(replace(ours, resume=False))


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["frobnicate"], "expected a command of run, "),
        (["serach"], "got 'serach'; did you mean search?"),
        (["run", "--sead", "3"], "--sead: no such flag; did you mean --seed?"),
        (["run", "--score.shirnk", "1"], "--score.shirnk: no such flag; did you mean --score.shrink?"),
        (["run", "--spase", "tiny"], "--spase: no such flag; did you mean --space?"),
        (["search", "--baselines", "3"], "--baselines: a flag of run, retrain, not of search"),
        (["profile", "--data", "digits"], "not of profile, which needs no data; --space.shape C,H,W is the shape"),
        (["report", "--data.root", "x"], "evaluate, export, rank, publish, not of report"),
        (
            ["profile", "--space", "open", "--space.net", "opening_nets:small"],
            "this shape is the default: give --space.shape C,H,W or --example",
        ),
        (["run", "--seed", "three"], "--seed: expected an integer, got three"),
        (["run", "--space", "huge"], "or package.module:callable, got 'huge'"),
        (["run", "--data", "mnist"], "--data: expected one of digits"),
        (["run", "--method", "Nas"], "--method: expected one of spos, random"),
        (["run", "--space", "no.such:thing"], "expected an importable module"),
        (["run", "--space", "sparsenas.spaces:nothing"], "found no 'nothing'"),
        (["run", "--space", "math:sqrt"], "--space"),
        (["run", "--data", "math:pi"], "expected a function or class in math, got an object of class float"),
        (["run", "--config", "nowhere.yaml"], "--config nowhere.yaml: expected a YAML file"),
        (["run", "--budget", "flops<=10"], "flops<=10: this space reaches 36,416 to 1,500,480 flops"),
        (["run", "--budget", "watts<=10"], "expected one of the costs flops, params"),
        (["run", "--budget", "watts<=10"], "bitops, peak_memory, bytes, or your own by --cost, got 'watts'"),
        (["run", "--method", "spso"], "package.module:callable, got 'spso'; did you mean spos?"),
        (["run", "--space", "tinny"], "got 'tinny'; did you mean tiny?"),
        (["run", "--budget", "flops=10"], "expected COST<=NUMBER or COST>=NUMBER"),
        (["run", "--budget"], "--budget: expected a value"),
        (["run", "--search.epochs", "0"], "--search.epochs: expected >= 1, got 0"),
        (["run", "--method.mutants", "40"], "--method.population: expected >= 65, got 50; mutants + crossovers"),
        (["cost"], "expected --arch ARCH or --archs FILE"),
        (["cost", "--arch", "012"], "expected 10 picks, one per choice, got 3"),
        (["cost", "--arch", "9000000000"], "picks must be sorted, distinct and within 0..3, got (9,)"),
        (["cost", "--arch", "abcdefghij"], "expected digits such as"),
        (["cost", "--arch", '{"block1": '], "expected JSON, got"),
        (["cost", "--arch", '{"block1": "conv3"}'], "expected picks for every choice, missing block1.width"),
        (["cost", "--arch", '{"colour": "red"}'], "got unknown 'colour'"),
        (["cost", "--arch", "uniform:conv9"], "expected labels from"),
        (["cost", "--arch", "uniform:conv3,wide"], "expected labels from"),
        (["run", "--compare", "uniform:conv9"], "expected labels from"),
        (["run", "--search.sizes", "16,0"], "--search.sizes: expected image sides >= 1, got 16,0"),
        (["run", "--score.finalists", "-1"], "--score.finalists: expected >= 0, got -1"),
        (["search", "--column", "cifar10"], "--column: expected --table, the file that has it, got none; got cifar10"),
        (["run", "--score.shrink", "2"], "--score.shrink: expected 0 <= shrink <= 1, got 2.0"),
        (["run", "--data", "cifar10", "--data.root", "nowhere"], "nowhere: expected a folder with train-*.parquet"),
        (["run", "--data", "cifar10"], "expected --data.root, got none"),
        (["cost", "--archs", "nowhere.txt"], "--archs nowhere.txt: expected a file"),
        (["evaluate", "nowhere"], "nowhere: expected a run folder with config.yaml, found none"),
        (["report", "nowhere"], "nowhere"),
        (["retrain", "nowhere"], "nowhere: expected a run folder"),
        (["run", "--accelerator", "abacus"], "--accelerator abacus"),
        (["run", "--out", "/dev/null/run"], "/dev/null/run: expected a folder that can be made"),
        (["run", "--space.width", "x"], "--space.width: expected an integer, got x"),
        (["evaluate", "nowhere", "--split", "all"], "--split: expected one of test, val, got all"),
        (["evaluate"], "expected RUN, got none"),
    ],
)  # fmt: skip
def test_mistakes_get_one_line(
    argv: list[str], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert expected in fails(capsys, *argv)
    assert not (tmp_path / "runs").exists()


def test_damaged_run_folders(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "expected a new folder, this one has a run; --resume continues it" in fails(
        capsys, "run", "--out", str(finished), *QUICK
    )
    assert "--seed: the run to resume has 0, got 5" in fails(
        capsys, "run", "--out", str(finished), "--resume", "--seed", "5"
    )
    run = shutil.copytree(finished, tmp_path / "run")
    (run / "best.json").write_text('{"arch": ')
    assert "best.json: expected JSON" in fails(capsys, "evaluate", str(run))
    (run / "best.json").write_text('{"arch": {"block1": "conv7"}}')
    assert "missing" in fails(capsys, "evaluate", str(run))
    shutil.copy(finished / "best.json", run)
    (run / "net.pt").write_bytes((finished / "net.pt").read_bytes()[:5000])
    assert "net.pt: expected tensors saved by sparsenas, got a damaged file" in fails(capsys, "evaluate", str(run))
    (run / "net.onnx").write_bytes(b"not a network")
    assert "net.onnx: expected an ONNX network" in fails(capsys, "evaluate", str(run), "--onnx")
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["space"]["blocks"] = 4
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    told = "the space tiny has changed since this run began: it has new choices: block4, block4.width"
    assert told in fails(capsys, "evaluate", str(run))
    (run / "config.yaml").write_text("space: [")
    assert "config.yaml: expected the flags of a run" in fails(capsys, "evaluate", str(run))


def test_a_corrupt_checkpoint_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--search.epochs=2", "--search.lr=1e30", *[flag for flag in QUICK if "search" not in flag]]
    error = fails(capsys, "run", "--out", str(tmp_path / "run"), "--checkpoint_seconds=0", *flags)
    assert "supernet: the loss became" in error
    assert "in epoch 1, step " in error
    assert "try a learning rate below 1e+30" in error
    (tmp_path / "run" / "checkpoint.pt").write_bytes(b"PK\x03\x04 nonsense")
    (tmp_path / "run" / "checkpoint.previous.pt").unlink(missing_ok=True)
    error = fails(capsys, "run", "--out", str(tmp_path / "run"), "--resume")
    assert "checkpoint.pt: expected tensors saved by sparsenas, got a damaged file" in error


def test_spaces_and_cost_tables(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    some = {name: SPACES[name] for name in ("tiny", "nasbench_macro", "dso")}  # the others have tests of their own
    monkeypatch.setattr("sparsenas.commands.spaces.SPACES", some)
    assert main(["spaces", "--json"]) == 0
    described = {s["name"]: s for s in map(json.loads, capsys.readouterr().out.splitlines())}
    assert described["nasbench_macro"]["size"] == 6561
    assert described["tiny"]["range"]["flops"] == [36416, 1500480]
    assert described["dso"]["size"] > 10**800
    monkeypatch.setattr("sparsenas.commands.spaces.describe", lambda space, costs: described[space.name])
    assert main(["spaces", "--costs"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert "e+896" in printed[3]
    assert max(map(len, printed)) <= 80
    assert printed[1].split() == [
        "tiny",
        "1x8x8",
        "10",
        "7.86e+5",
        "36.4",
        "k",
        "to",
        "1.5",
        "M",
        "1",
        "546",
        "to",
        "63.7",
        "k",
    ]
    monkeypatch.undo()
    monkeypatch.setattr("sparsenas.commands.spaces.SPACES", some)
    with monkeypatch.context() as nothing_is_counted:
        nothing_is_counted.setattr("sparsenas.job.space_facts.CostTable", None)
        assert main(["spaces"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[:2] == [
        "space          input     choices networks",
        "tiny           1x8x8     10      7.86e+5",
    ]
    assert "sparsenas spaces --costs adds the ranges" in err
    assert main(["spaces", "--space", "tiny", "--space.shape", "3,32,32"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[:5] == ["tiny", "3x32x32", "10", "7.86e+5", "873"]
    assert main(["cost", "--arch", "uniform:mb3e3", "--space", "nasbench_macro", "--arch", "full"]) == 0
    assert "11111111" in capsys.readouterr().out


def test_architectures_in_every_notation() -> None:
    questions = choices(tiny())
    arch = read_arch(questions, "0123012301"[:1] + "0" * 9)
    assert read_arch(questions, json.dumps(arch.to_json())) == arch
    with pytest.raises(UserError, match="exactly 1 of 4 options, got 0"):
        read_arch(questions, json.dumps({**arch.to_json(), "block1": []}))


@pytest.mark.parametrize("command", COMMANDS)
def test_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    told = capsys.readouterr().out
    assert told.startswith(f"usage: sparsenas {command} ")
    assert not re.search("<class|Optional|Union|None", told)
    assert max(map(len, told.splitlines())) <= 120


def test_help_is_about_what_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--help-all", "--space=dso", "--method=random", "--retrain.epochs=7"]) == 0
    told = capsys.readouterr().out
    assert "--space.depth INTEGER" in told
    assert "--method.evaluations INTEGER" in told
    assert "--num-nodes INTEGER\n      Number of machines. Default: 1.\n" in told
    assert "--retrain.schedule linear|cosine|constant|restarts\n" in told
    assert "--num_nodes" not in told


@pytest.mark.parametrize("command", ["run", "retrain", "compare"])
def test_the_short_help_names_every_flag(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help-all"]) == 0
    whole = capsys.readouterr().out
    assert main([command, "--help"]) == 0
    short = capsys.readouterr().out
    flags = r"^  (--[a-z][\w.-]*)"
    assert {*re.findall(flags, whole, re.MULTILINE)} <= {*short.split()}
    assert ("--help-all" in short) == ("--retrain.epochs INTEGER" in whole)
    assert "--retrain.epochs INTEGER" not in short
    assert len(short.splitlines()) < 150


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"sparsenas {version('sparsenas')}\n"
    assert sparsenas.__version__ == version("sparsenas")


@pytest.mark.parametrize("argv", [["--help"], ["run", "--help"], ["cost", "--arch", "full", "--json"]])
def test_a_reader_may_leave(argv: list[str]) -> None:
    """As ``head`` does: no traceback."""
    command = [sys.executable, "-m", "sparsenas", *argv]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    _, error = process.communicate()
    assert (process.returncode, error) == (PIPE_CLOSED, b"")


def test_files_survive_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(tmp_path)
    run.save("checkpoint.pt", {"epoch": 1})

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(UserError, match="checkpoint.pt: cannot be written: No space left on device"):
        run.save("checkpoint.pt", {"epoch": 2})
    assert run.load("checkpoint.pt") == {"epoch": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_the_supernet_is_searched_again(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = [flag for flag in QUICK if flag.startswith("--method")]
    out, tables = tmp_path / "again", []
    make = limits.CostTable
    monkeypatch.setattr(limits, "CostTable", lambda *args: tables.append(1) or make(*args))
    assert main(["evolve", str(finished), "--budget", "flops<=30e3", "--out", str(out), *flags]) == 0
    assert len(tables) == 1
    assert (out / "supernet.pt").read_bytes() == (finished / "supernet.pt").read_bytes()
    lines = [json.loads(line) for line in (out / "archs.jsonl").read_text().splitlines()]
    assert 6 <= len(lines) == len({line["text"] for line in lines})
    assert all(line["costs"]["flops"] <= 30e3 for line in lines)
    capsys.readouterr()
    assert main(["retrain", str(out), "--retrain.epochs=1"]) == 0
    tested = json.loads((out / "results.json").read_text())["retrained"]
    assert f"net.pt: accuracy {tested['metrics']['accuracy']:.2%} on test examples" in capsys.readouterr().err
    assert main(["evolve", str(finished), "--out", str(out), "--resume"]) == 0
    assert "expected one of the costs flops" in fails(capsys, "evolve", str(finished), "--pareto", "watts")


def test_a_front_is_not_dominated(finished: Path, tmp_path: Path) -> None:
    flags = [flag for flag in QUICK if flag.startswith("--method")]
    assert main(["evolve", str(finished), "--pareto", "flops", "--out", str(tmp_path / "front"), *flags]) == 0
    run = Run(tmp_path / "front")
    found, scored = run.read(Front), run.lines(ARCHS, Scored)
    points = [(point.costs["flops"], point.metrics["accuracy"]) for point in found.points]
    assert points == sorted(points)
    known = [(line.costs["flops"], line.metrics["accuracy"]) for line in scored]
    for flops, accuracy in points:
        assert not any(a >= accuracy and f <= flops and (f, a) != (flops, accuracy) for f, a in known)
    worst, dearest = found.reference
    area = 0.0
    for (flops, accuracy), (following, _) in zip(points, [*points[1:], (dearest, 0.0)], strict=True):
        area += (following - flops) * accuracy
    assert worst == 0.0
    assert found.hypervolume == pytest.approx(area)
