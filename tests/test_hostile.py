"""Files that somebody else wrote, or that a disk damaged: one line, exit code 2, and nothing of theirs is run."""

from __future__ import annotations

import builtins
import io
import json
import os
import pickle
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import yaml
from onnx import helper, numpy_helper

from sparsenas.__main__ import main
from sparsenas.errors import UserError
from sparsenas.parsing import parse_json, parse_yaml, typed
from sparsenas.rundir.folder import Record, Run
from sparsenas.rundir.log import LOG, Note
from sparsenas.rundir.ranking import Ranked, Ranking
from sparsenas.rundir.records import (
    ARCHS,
    RANKED,
    Best,
    DataInfo,
    Front,
    Provenance,
    RunInfo,
    Scored,
    SpaceInfo,
    SplitInfo,
)  # fmt: skip
from sparsenas.rundir.results import Results

SPACE = ["--space.width=4", "--space.blocks=2", "--search.epochs=1", "--accelerator=cpu", "--data.val_share=0.1"]
QUICK = ["--method.population=4", "--method.generations=1", "--method.parents=2", "--method.mutants=2"]
QUICK += ["--method.crossovers=2"]
DEEP = "[" * 100_000
RECORDS: tuple[type[Record], ...] = (
    RunInfo, SpaceInfo, DataInfo, SplitInfo, Best, Provenance, Results, Front, Ranking
)  # fmt: skip
NO_OBJECTS = ("[]", '"x"', "null", "NaN", "1e999", "1" * 5000, DEEP, '{"a":' * 50_000, "[" * 60 + "]" * 60, "\xff", "")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was searched and retrained."""
    path = tmp_path_factory.mktemp("whole") / "run"
    assert main(["search", "--out", str(path), *SPACE, *QUICK]) == 0
    assert main(["retrain", str(path), "--retrain.epochs=1"]) == 0
    return path


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "run"))


Refused = Callable[..., str]


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Refused:
    def command(*argv: object) -> str:
        capsys.readouterr()
        assert main([str(word) for word in argv]) == 2
        *progress, error = capsys.readouterr().err.splitlines()
        assert error.startswith("sparsenas: ")
        assert not [line for line in progress if "sparsenas" in line or "Error" in line]
        assert len(error) < 1500
        return error

    return command


class Evil:
    """Makes a file when it is read from a pickle."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.marker),)


def as_torch(evil: Evil, path: Path) -> None:
    torch.save({"net": evil, "method": evil, "stage": "supernet", "epoch": 1}, path)


def as_old_torch(evil: Evil, path: Path) -> None:
    torch.save({"net": evil, "stage": evil}, path, _use_new_zipfile_serialization=False)


def as_pickle(evil: Evil, path: Path) -> None:
    path.write_bytes(pickle.dumps(evil, protocol=2))


@pytest.mark.parametrize("write", [as_torch, as_old_torch, as_pickle])
def test_pickles_are_not_run(write: Callable[[Evil, Path], None], run: Path, tmp_path: Path, refused: Refused) -> None:
    marker = tmp_path / "marker"
    write(Evil(marker), tmp_path / "evil")
    with open(tmp_path / "evil", "rb") as file, pytest.raises((RuntimeError, pickle.UnpicklingError)):
        torch.load(file, weights_only=True)
    for name, argv in {
        "supernet.pt": ("evaluate", run, "--arch", "found"),
        "net.pt": ("evaluate", run),
        "checkpoint.pt": ("retrain", run),
    }.items():
        shutil.copy(tmp_path / "evil", run / name)
        assert f"{name}: expected tensors saved by sparsenas" in refused(*argv)
    assert "supernet.pt: expected tensors" in refused("evolve", run, "--out", tmp_path / "out", *QUICK)
    (run / "best.json").unlink()
    assert "supernet.pt: expected tensors" in refused("search", "--resume", "--out", run)
    (run / "supernet.pt").unlink()
    assert "checkpoint.pt: expected tensors" in refused("search", "--resume", "--out", run)
    assert not marker.exists()
    pickle.loads(pickle.dumps(Evil(marker)))
    assert marker.exists(), "the pickles were harmless"


def test_tensors_of_something_else(run: Path, refused: Refused) -> None:
    for state in ([1], {"net": 3}, {"net": {"a": torch.ones(1)}}, {"stage": "retrain", "epoch": "x", "net": []}, 7):
        torch.save(state, run / "supernet.pt")
        assert "supernet.pt: expected the net of this run" in refused("evaluate", run, "--arch", "found")
        torch.save(state, run / "net.pt")
        assert "net.pt: expected the weights of the network in best.json" in refused("evaluate", run)
    for checkpoint in ([1], {"stage": "retrain"}, {"stage": "retrain", "epoch": 0, "net": 3, "optimizer": []}):
        torch.save(checkpoint, run / "checkpoint.pt")
        said = refused("retrain", run)
        assert f"checkpoint.pt: expected {'the state of this run' if 'stage' in checkpoint else 'a checkpoint'}" in said


def test_yaml_is_plain(run: Path, tmp_path: Path, refused: Refused) -> None:
    marker = tmp_path / "marker"
    attack = f"!!python/object/apply:os.mkdir ['{marker}']"
    flags = yaml.safe_load((run / "config.yaml").read_text())
    for text in (attack, f"seed: {attack}", yaml.safe_dump(flags) + f"\nmore: {attack}\n"):
        (tmp_path / "flags.yaml").write_text(text)
        assert "expected YAML" in refused("search", "--config", tmp_path / "flags.yaml", "--out", tmp_path / "out")
        (run / "config.yaml").write_text(text)
        for argv in (("evaluate", run), ("report", run), ("retrain", run), ("search", "--resume", "--out", run)):
            assert "expected YAML" in refused(*argv)
    assert not marker.exists()


def test_a_run_folder_does_not_say_what_is_called(run: Path, tmp_path: Path, refused: Refused) -> None:
    marker = tmp_path / "marker"
    flags = yaml.safe_load((run / "config.yaml").read_text())
    for section in (
        {"name": "os:system", "command": f"touch {marker}"},
        {"name": "os:mkdir", "path": str(marker)},
        {"name": "subprocess:getoutput", "cmd": f"touch {marker}"},
        {"name": "torch.serialization:load", "f": "x", "weights_only": False},
        {"name": "sparsenas.__main__:main", "argv": ["spaces"]},
    ):
        for kind in ("space", "data", "method"):
            (run / "config.yaml").write_text(yaml.safe_dump({**flags, kind: section}))
            (run / "best.json").unlink(missing_ok=True)
            name = section["name"]
            told = f"config.yaml: {kind} {name} is not built in; to run its code, add --trust-plugins {name}"
            if kind != "method":
                assert told in refused("evaluate", run)
            assert told in refused("search", "--resume", "--out", run)
    assert not marker.exists()


@pytest.mark.parametrize("format", [None, 1, 2])
def test_run_folders_of_other_versions(format: int | None, run: Path, tmp_path: Path, refused: Refused) -> None:
    info = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**info, "format": format}))
    if format is None:
        (run / "run.json").unlink()
    (tmp_path / "table.json").write_text('{"0": 0.5, "1": 0.6}')
    before = contents(run)
    for argv in (
        ("search", "--out", run), ("search", "--out", run, "--resume"), ("run", "--out", run, "--resume"),
        ("evolve", run, "--out", tmp_path / "out"), ("evolve", run, "--out", run, "--resume"), ("retrain", run),
        ("evaluate", run), ("export", run), ("report", run), ("rank", run, "--table", tmp_path / "table.json"),
    ):  # fmt: skip
        told = f"{run}: expected a run folder of format 3, got format {format or 1} of another version"
        assert told in refused(*argv)
    assert contents(run) == before
    assert not (tmp_path / "out").exists()


def bomb() -> str:
    """Nine lines for 9^9 values."""
    lines = ["a: &a [x,x,x,x,x,x,x,x,x]"]
    lines += [f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]" for old, new in zip("abcdefgh", "bcdefghi", strict=True)]
    return "\n".join(lines)


@pytest.mark.parametrize("text", [*NO_OBJECTS, bomb(), "a: &a [*a]", "a: 2001-99-99", "a: !!int x", "? {a: b}\n: c"])
def test_texts_that_are_no_flags(text: str) -> None:
    with pytest.raises(UserError, match=r"^here: "):
        typed(parse_yaml(text, "here"), dict[str, int], "here")


def test_a_budget_that_nothing_meets(run: Path, refused: Refused) -> None:
    flags = yaml.safe_load((run / "config.yaml").read_text())
    (run / "config.yaml").write_text(yaml.safe_dump({**flags, "budget": ["flops<=1"]}))
    assert "--budget flops<=1: this space reaches" in refused("retrain", run, "--retrain.epochs=1")
    assert (run / "net.pt").exists()


@pytest.mark.parametrize(
    "changed",
    [
        {"space": "small"}, {"space": {"name": 3}}, {"space": {"name": ["tiny"]}}, {"space": {"name": "tiny", 3: 4}},
        {"space": {"name": "tiny", "width": "x"}}, {"space": {"name": "tiny", "width": float("nan")}},
        {"space": {"name": "tiny", "width": -3}}, {"space": {"name": "tiny", "width": 10**14}},
        {"data": [1]}, {"data": {"name": "digits", "val_share": float("nan")}}, {"data": {"name": "digits", "x": 1}},
        {"budget": 3}, {"budget": [3]}, {"budget": ["flops<="]}, {"seed": "x"}, {"seed": [1]},
        {"score": "x"}, {"score": {"a": 1}}, {"score": {"batch": float("nan")}}, {"score": {"batch": -1}},
        {"target": "x"}, {"target": [1]}, {"target": {"width": "x"}},
    ],
    ids=str,
)  # fmt: skip
def test_flags_of_other_types(changed: dict[str, Any], run: Path, refused: Refused) -> None:
    flags = yaml.safe_load((run / "config.yaml").read_text())
    (run / "config.yaml").write_text(yaml.safe_dump({**flags, **changed}))
    refused("evaluate", run, "--arch", "found")


@pytest.mark.parametrize("text", NO_OBJECTS)
def test_texts_that_are_no_objects(text: str, tmp_path: Path) -> None:
    run = Run(tmp_path)
    for kind in RECORDS:
        (tmp_path / kind.FILE).write_text(text, encoding="latin1")
        with pytest.raises(UserError, match=kind.FILE):
            run.read(kind)
    for name, line in ((ARCHS, Scored), (RANKED, Ranked)):
        (tmp_path / name).write_text(text + "\n", encoding="latin1")
        with pytest.raises(UserError, match=f"{name}, line 1: expected "):
            run.lines(name, line)
    (tmp_path / LOG).write_text(text + "\n", encoding="latin1")
    with pytest.raises(UserError, match=f"{LOG}, line 1: expected "):
        run.log()


def test_json_of_other_types(run: Path, refused: Refused) -> None:
    names = {"best.json": ("evaluate",), "choices.json": ("evaluate",), "net.json": ("evaluate",)}
    names |= {"results.json": ("retrain",), "archs.jsonl": ("evolve", "--out", str(run / "out"))}
    for name, (command, *flags) in names.items():
        before = (run / name).read_bytes() if (run / name).exists() else None
        for text in ("[]", DEEP):
            (run / name).write_text(text + "\n" * name.endswith("l"), encoding="latin1")
            shutil.rmtree(run / "out", ignore_errors=True)
            if not (name.endswith("l") and not text):
                assert name in refused(command, run, *flags)
        (run / name).unlink()
        if before is not None:
            (run / name).write_bytes(before)
    best = json.loads((run / "best.json").read_text())
    arch = best["arch"]
    for changed in (
        {"arch": []}, {"arch": {name: {} for name in arch}}, {"arch": {name: [["x"]] for name in arch}},
        {"arch": {name: float("nan") for name in arch}}, {"costs": [1]}, {"costs": {"flops": "x"}}, {"text": 3},
        {"val": []}, {"val": {"accuracy": True}}, {"weights": [1]}, {"weights": {"block1": ["x"]}},
        {"weights": {name: [1.0] * 7 for name in arch}}, {"weights": {name: [float("nan")] for name in arch}},
    ):  # fmt: skip
        (run / "best.json").write_text(json.dumps({**best, **changed}))
        refused("evaluate", run, "--arch", "found")


@pytest.mark.parametrize("arch", ["{" + '"a":{' * 90_000, '{"block1": NaN}', '{"block1": {}}', '{"block1": 1e999}'])
def test_architectures_as_flags(arch: str, tmp_path: Path, refused: Refused) -> None:
    refused("cost", "--arch", arch, "--space.blocks=2")
    (tmp_path / "archs").write_text(arch)
    refused("cost", "--archs", tmp_path / "archs", "--space.blocks=2")


def test_json_is_plain_values() -> None:
    assert parse_json('{"a": [[1]]}', "here") == {"a": [[1]]}


def network(path: Path, location: str = "", inner: bool = False) -> None:
    """An ONNX network for digits; its weights, maybe those of an inner graph, are at ``location``."""
    weights = numpy_helper.from_array(np.ones((64, 10), np.float32), "w")
    if location:
        weights.ClearField("raw_data")
        weights.data_location = onnx.TensorProto.EXTERNAL
        weights.external_data.add(key="location", value=location)
    nodes = [helper.make_node("Flatten", ["x"], ["f"]), helper.make_node("MatMul", ["f", "w"], ["y"])]
    if inner:
        nodes.insert(0, helper.make_node("Constant", [], ["w"], value=weights))
    ends = [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, None) for n in "xy"]
    ends[0] = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", 1, 8, 8])
    graph = helper.make_graph(nodes, "net", ends[:1], ends[1:], [] if inner else [weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())


def test_onnx(run: Path, refused: Refused, capsys: pytest.CaptureFixture[str]) -> None:
    file = run / "net.onnx"
    network(file)
    assert main(["evaluate", str(run), "--onnx", "--json"]) == 0
    good = file.read_bytes()
    (run.parent / "secret").write_bytes(np.ones((64, 10), np.float32).tobytes())
    (run / "beside").write_bytes(np.ones((64, 10), np.float32).tobytes())
    for location in ("../secret", str(run.parent / "secret"), "beside"):
        for inner in (False, True):
            network(file, location, inner)
            assert "got: one that refers to other files" in refused("evaluate", run, "--onnx")
    for content in (b"", b"not a network", good[: len(good) // 2], good[:-9], b"\x08" + good, b"\0" * 1000):
        file.write_bytes(content)
        assert "net.onnx: expected an ONNX network, got: " in refused("evaluate", run, "--onnx")
    file.unlink()
    file.mkdir()
    refused("evaluate", run, "--onnx")
    assert main(["report", str(run)]) == 0


def opened(run: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths that are opened from now on, but those within the run folder and those of installed packages."""
    seen: list[str] = []
    real = io.open

    def watching(file: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(file, str | os.PathLike) and run not in Path(file).absolute().parents:
            seen.append(str(file))
        return real(file, *args, **kwargs)

    monkeypatch.setattr(io, "open", watching)
    monkeypatch.setattr(builtins, "open", watching)
    return seen


def test_nothing_outside_is_read(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = tmp_path / "secret.json"
    secret.write_text('{"device": "secret"}')
    flags = yaml.safe_load((run / "config.yaml").read_text())
    names = {name: str(secret) for name in ("out", "run", "config", "latency", "pareto", "report")}
    (run / "config.yaml").write_text(yaml.safe_dump({**flags, **names}))
    best = json.loads((run / "best.json").read_text())
    (run / "best.json").write_text(json.dumps({**best, "file": str(secret), "latency": "../secret.json"}))
    seen = opened(run, monkeypatch)
    for argv in (["evaluate", str(run)], ["report", str(run)]):
        assert main(argv) == 0
    assert str(secret) not in seen
    open(secret).close()
    assert str(secret) in seen, "the watch is asleep"


def test_nothing_outside_is_written(run: Path, tmp_path: Path) -> None:
    (tmp_path / "other.jsonl").write_text("")
    (run / "archs.jsonl").unlink()
    (run / "archs.jsonl").symlink_to(tmp_path / "other.jsonl")
    with pytest.raises(UserError, match="archs.jsonl: cannot be written: Too many levels of symbolic links"):
        Run(run).append(ARCHS, [Note(stage="a", message="b")])
    for name in ("log.jsonl", "net.pt", "report.html"):
        (tmp_path / name).write_text("")
        (run / name).unlink(missing_ok=True)
        (run / name).symlink_to(tmp_path / name)
    assert main(["retrain", str(run), "--retrain.epochs=1"]) == 0
    assert main(["report", str(run)]) == 0
    names = ("log.jsonl", "net.pt", "report.html", "other.jsonl")
    assert all((tmp_path / name).read_text() == "" for name in names)


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """Lets so many files be written, then the disk is full."""
    real = os.fsync

    def after(files: int) -> None:
        left = [files]

        def fsync(descriptor: int) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise OSError(28, "No space left on device")
            real(descriptor)

        monkeypatch.setattr(os, "fsync", fsync)

    yield after
    monkeypatch.undo()


def contents(run: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in run.iterdir() if path.name != "log.jsonl"}


@pytest.mark.parametrize("command", ["report", "search", "evolve", "retrain"])
def test_full_disks(
    command: str, run: Path, tmp_path: Path, refused: Refused, full_disk: Callable[[int], None]
) -> None:
    before = contents(run)
    argv = {
        "report": ("report", run),
        "search": ("search", "--out", tmp_path / "new", *SPACE, *QUICK, "--checkpoint_seconds=0"),
        "evolve": ("evolve", run, "--out", tmp_path / "new", *QUICK),
        "retrain": ("retrain", run, "--retrain.epochs=1", "--baselines=1", "--checkpoint_seconds=0"),
    }[command]
    for files in (0,) if command == "report" else (0, 1, 4, 7):
        shutil.rmtree(tmp_path / "new", ignore_errors=True)
        full_disk(files)
        assert "No space left on device" in refused(*argv)
        after = contents(run)
        assert not [name for name in after if name.endswith(".tmp")]
        gone = {"net.pt", "net.safetensors", "results.json"} if command == "retrain" else set()  # what is done again
        assert {n: b for n, b in before.items() if n not in gone}.items() <= after.items()


def test_folders_that_cannot_be_written(
    run: Path, tmp_path: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A superuser may write anywhere, so the refusal is made here."""
    before = contents(run)
    real = io.open

    def reading(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        if isinstance(file, str | os.PathLike) and set(mode) & set("wax+") and run in Path(file).absolute().parents:
            raise OSError(30, "Read-only file system", str(file))
        return real(file, mode, *args, **kwargs)

    def keep(path: Path, *args: Any, **kwargs: Any) -> None:
        if Path(path).exists():
            raise OSError(30, "Read-only file system", str(path))

    monkeypatch.setattr(io, "open", reading)
    monkeypatch.setattr(builtins, "open", reading)
    monkeypatch.setattr(Path, "unlink", keep)
    monkeypatch.setattr(os, "replace", keep)
    for argv in (("report", run), ("retrain", run), ("search", "--resume", "--out", run)):
        if argv[0] != "search":
            assert "Read-only file system" in refused(*argv)
    assert contents(run) == before
    for place in ("/proc/run", "/dev/null/run", "/dev/full"):
        assert f"{place}: expected a folder" in refused("search", "--out", place, *SPACE, *QUICK)
