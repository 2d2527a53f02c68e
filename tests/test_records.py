"""Records of the run folder: what is written is read again, and what is damaged is told in one line."""

from __future__ import annotations

import errno
import json
import math
import os
from pathlib import Path
from typing import IO, Any

import pytest
import torch
from msgspec import Struct
from msgspec.structs import replace
from safetensors.torch import load_file
from torch import nn

from sparsenas.core.choice import Choice
from sparsenas.errors import UserError
from sparsenas.parsing import typed
from sparsenas.rundir import files
from sparsenas.rundir.config import CONFIG, begin_run, has_begun, read_config, threads_of
from sparsenas.rundir.folder import Run
from sparsenas.rundir.log import LOG, EpochEnd, LogLine, Note, StageEnd
from sparsenas.rundir.networks import NET, SAFETENSORS, save_net
from sparsenas.rundir.records import ARCHS, Best, Provenance, Scored, ScoreInfo, SpaceInfo
from sparsenas.rundir.results import Evaluation, Results, update_results

BEST = Best(
    arch={"block1": "conv3", "edges": ["a", "b"]},
    text="0,0+1",
    costs={"flops": 37_152, "latency_ms": 0.25},
    budgets=["flops<=40000"],
    val={"accuracy": 0.5, "loss": 1.25},
)
EPOCH = EpochEnd(
    stage="supernet", epoch=0, epochs=2, step=16, lr=0.1, metrics={"accuracy": 0.1, "loss": 2.5}, examples_per_s=9.0,
    method={"pruning": {"gamma": 0.001}},
)  # fmt: skip
LOGGED: list[LogLine] = [EPOCH, Note(stage="retrain", message="\u00e4 & <b>"), StageEnd(stage="supernet", seconds=1.5)]


def scored(text: str, loss: float = 1.0) -> Scored:
    return Scored(generation=0, arch={"a": "x"}, text=text, metrics={"accuracy": 0.5, "loss": loss}, costs={"flops": 3})


def test_records_are_read_as_written(tmp_path: Path) -> None:
    run = Run(tmp_path)
    choice = Choice("block1", ("a", "b"), 0, 2)
    space = SpaceInfo(shape=[1, 8, 8], size=10**400, choices=[choice], range={"flops": (1, 2.5)})
    for record in (
        BEST,
        space,
        Results(retrained=Evaluation(split="test", metrics={"accuracy": 1.0, "loss": 0.0})),
        Provenance(scale_to=[]),
    ):
        run.write(record)
        assert run.read(type(record)) == record


def test_numbers_keep_their_type_and_defaults_are_left_out(tmp_path: Path) -> None:
    Run(tmp_path).write(BEST)
    assert json.loads((tmp_path / "best.json").read_text()) == {
        "arch": {"block1": "conv3", "edges": ["a", "b"]},
        "text": "0,0+1",
        "costs": {"flops": 37_152, "latency_ms": 0.25},
        "budgets": ["flops<=40000"],
        "val": {"accuracy": 0.5, "loss": 1.25},
    }
    assert '"flops": 37152,' in (tmp_path / "best.json").read_text()


def test_lines_are_read_as_written(tmp_path: Path) -> None:
    run = Run(tmp_path)
    assert run.log() == []
    for line in LOGGED:
        run.append(LOG, [line])
    assert run.log() == LOGGED
    assert [json.loads(text)["event"] for text in (run / LOG).read_text().splitlines()] == ["epoch", "note", "done"]
    run.write_lines(LOG, LOGGED[1:])
    assert run.log() == LOGGED[1:]
    run.append(ARCHS, [scored("0", math.nan), scored("1", math.inf)])
    (first, second) = run.lines(ARCHS, Scored)
    assert math.isnan(first.metrics["loss"])
    assert second.metrics["loss"] == math.inf


@pytest.mark.parametrize("block", [1, 7, files.BLOCK])
@pytest.mark.parametrize("torn", ["", "{", '{"stage": "retr', "x" * 40])
def test_what_a_kill_left_of_a_line_is_dropped(
    block: int, torn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "BLOCK", block)
    run = Run(tmp_path)
    for written in ([], LOGGED):
        run.write_lines(LOG, written)
        with open(run / LOG, "a") as file:
            file.write(torn)
        assert run.log() == written
        run.append(LOG, LOGGED[:1])
        assert run.log() == [*written, LOGGED[0]]


def test_damaged_lines_are_refused_or_left_out(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.write_lines(LOG, LOGGED)
    lines = (run / LOG).read_text().splitlines()
    (run / LOG).write_text("\n".join([lines[0], lines[1][:20], *lines[2:], ""]))
    with pytest.raises(UserError, match=r"log\.jsonl, line 2: expected JSON"):
        run.log()
    told: list[UserError] = []
    assert run.log(told.append) == [LOGGED[0], LOGGED[2]]
    assert [str(error).partition(":")[0] for error in told] == [f"{run / LOG}, line 2"]


class Nested(Struct):
    """A record with fields of many types."""

    a: int | float
    b: list[int] = []
    c: dict[str, str | list[str]] = {}
    d: tuple[float, float] = (0.0, 0.0)
    e: ScoreInfo | None = None


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ([], "here: expected an object of named values, got a list"),
        (None, "here: expected an object of named values, got null"),
        ({}, "here: expected 'a', which is missing"),
        ({"a": "x"}, "here, a: expected a number, got text"),
        ({"a": True}, "here, a: expected a number, got true or false"),
        ({"a": 1, "b": [1, "x"]}, "here, b, entry 2: expected a whole number, got text"),
        ({"a": 1, "b": [1.5]}, "here, b, entry 1: expected a whole number, got a number"),
        ({"a": 1, "c": {"x": 3}}, "here, c, a value: expected text or a list, got a whole number"),
        ({"a": 1, "c": {3: "x"}}, "here, a name, c: expected text, got a whole number"),
        ({"a": 1, "d": [1.0]}, "here, d: expected a list of length 2, got 1"),
        ({"a": 1, "d": [1.0, 10**400]}, "here, d, entry 2: expected another value, got: Number out of range"),
        ({"a": 1, "e": {"loss": 1.0}}, "here, e: expected 'name', which is missing"),
        ({"a": 1, "e": []}, "here, e: expected an object of named values or null, got a list"),
    ],
)
def test_values_of_other_types_are_named(value: Any, told: str) -> None:
    with pytest.raises(UserError) as caught:
        typed(value, Nested, "here")
    assert str(caught.value) == told


def test_a_line_of_an_unknown_kind(tmp_path: Path) -> None:
    run = Run(tmp_path)
    for line, told in (
        ({"stage": "a"}, "expected 'event', which is missing"),
        ({"event": "party"}, ", event: expected another value, got 'party'"),
    ):
        (run / LOG).write_text(json.dumps(line) + "\n")
        with pytest.raises(UserError, match=told):
            run.log()


def test_results_are_replaced_one_by_one(tmp_path: Path) -> None:
    run = Run(tmp_path)
    update_results(run, retrained=None)
    assert not run.has("results.json"), "nothing to say, nothing to write"
    tested = Evaluation(split="test", metrics={"accuracy": 0.5})
    update_results(run, retrained=tested)
    update_results(run, inherited=replace(tested, metrics={"accuracy": 0.25}))
    assert run.read(Results) == Results(retrained=tested, inherited=replace(tested, metrics={"accuracy": 0.25}))
    update_results(run, retrained=None)
    assert json.loads((run / "results.json").read_text()).keys() == {"inherited"}


def test_a_run_of_another_version_is_refused(tmp_path: Path) -> None:
    run = Run(tmp_path)
    assert not has_begun(run)
    with pytest.raises(UserError, match=r"expected a run folder with config\.yaml, found none"):
        read_config(run)
    begin_run(run, "search", {"seed": 3})
    assert has_begun(run)
    assert read_config(run) == {"seed": 3}
    assert threads_of(run) == 0
    run.write_yaml(CONFIG, {"threads": 2})
    assert threads_of(run) == 2
    info = json.loads((run / "run.json").read_text())
    for changed in ({**info, "format": 1}, {"format": 4}):
        (run / "run.json").write_text(json.dumps(changed))
        with pytest.raises(UserError, match=rf"expected a run folder of format 3, got format {changed['format']} of"):
            read_config(run)
    (run / "run.json").write_text("{}")
    with pytest.raises(UserError, match=r"run\.json: expected 'format', which is missing"):
        read_config(run)
    (run / "run.json").unlink()
    with pytest.raises(UserError, match="got format 1 of another version of sparsenas; use that version for it, or"):
        read_config(run)
    (run / CONFIG).write_text("[]")
    begin_run(run, "search", {})
    (run / CONFIG).write_text("3: 4")
    with pytest.raises(UserError, match="config.yaml: expected the flags of a run, a name: expected text, got a whole"):
        read_config(run)


@pytest.mark.parametrize("flag", [os.O_NOFOLLOW, 0])
def test_links_are_not_followed(flag: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "NO_LINKS", flag)
    (tmp_path / "outside").write_text("")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / LOG).symlink_to(tmp_path / "outside")
    with pytest.raises(UserError, match=r"log\.jsonl: cannot be written: Too many levels of symbolic links"):
        Run(tmp_path / "run").append(LOG, LOGGED)
    assert (tmp_path / "outside").read_text() == ""


class Odd(nn.Module):
    """Tied weights, a transposed one, a scalar, and what ``extra`` makes of its state."""

    def __init__(self, extra: object = None) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)
        self.second.weight = self.first.weight
        self.register_buffer("transposed", torch.rand(2, 5).t())
        self.register_buffer("steps", torch.tensor(4))
        self.extra = extra

    def get_extra_state(self) -> object:
        return self.extra

    def set_extra_state(self, state: object) -> None:
        self.extra = state


def test_safetensors_have_the_same_weights_as_net_pt(tmp_path: Path) -> None:
    run, net = Run(tmp_path), Odd(torch.ones(2, dtype=torch.bfloat16))
    save_net(run, net, Provenance())
    state, other = run.load(NET), load_file(tmp_path / SAFETENSORS)
    assert state.keys() == other.keys() == net.state_dict().keys()
    for name, value in state.items():
        assert value.dtype == other[name].dtype
        assert torch.equal(value, other[name])


@pytest.mark.parametrize("extra", [{"a": 1}, torch.zeros(2, dtype=torch.complex128), torch.eye(2).to_sparse()])
def test_weights_that_safetensors_do_not_know(
    extra: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run(tmp_path)
    save_net(run, Odd(torch.zeros(1)), Provenance())
    save_net(run, Odd(extra), Provenance())
    assert sorted(os.listdir(tmp_path)) == [NET]
    assert capsys.readouterr().err.startswith("net.safetensors is not written: expected ")


def test_files_change_together(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    files.write_together({first: lambda file: file.write(b"a"), second: lambda file: file.write(b"b")})

    def fails(file: IO[bytes]) -> None:
        assert first.read_bytes() == b"a"  # although what takes its place is complete
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(UserError, match="second: cannot be written: No space left on device"):
        files.write_together({first: lambda file: file.write(b"new"), second: fails})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"first": b"a", "second": b"b"}
