"""Checkpoints: the newest whole one is continued from, whatever happened to the files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sparsenas.errors import UserError
from sparsenas.rundir.checkpoint import NEWEST, PREVIOUS, Checkpoint
from sparsenas.rundir.folder import Run
from sparsenas.rundir.log import Note


def weight(epoch: int) -> nn.Linear:
    net = nn.Linear(40, 40, bias=False)
    nn.init.constant_(net.weight, float(epoch))
    return net


def written(folder: Path, epochs: int) -> Run:
    run = Run(folder)
    run.create()
    checkpoint = Checkpoint(run, "supernet", seconds=0)
    for epoch in range(1, epochs + 1):
        checkpoint.save({"net": weight(epoch)})
    return run


def restored(run: Run, stage: str = "supernet") -> int:
    """The epochs restored; the weights must be theirs."""
    net = weight(0)
    begun = Checkpoint(run, stage).restore({"net": net})
    epochs = int(net.weight[0, 0])
    assert torch.equal(net.weight, weight(epochs).weight)
    assert begun == (epochs > 0)
    return epochs


def flip(path: Path, place: float) -> None:
    content = bytearray(path.read_bytes())
    content[int(place * (len(content) - 1))] ^= 0xFF
    path.write_bytes(bytes(content))


DAMAGE: dict[str, Callable[[Path], object]] = {
    "cut off": lambda path: path.write_bytes(path.read_bytes()[:2000]),
    "empty": lambda path: path.write_bytes(b""),
    "nonsense": lambda path: path.write_bytes(b"PK\x03\x04 nonsense"),
    "a bit": lambda path: flip(path, 0.5),
    "gone": lambda path: path.unlink(),
}


@pytest.mark.parametrize("epochs", [0, 1, 2, 5])
def test_the_newest_is_continued_from_and_two_are_kept(epochs: int, tmp_path: Path) -> None:
    run = written(tmp_path, epochs)
    assert restored(run) == epochs
    assert len(list(tmp_path.iterdir())) == min(epochs, 2)
    assert restored(run, "another stage") == 0


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_newest_gives_way_to_the_one_before(damage: str, tmp_path: Path) -> None:
    run = written(tmp_path, 3)
    DAMAGE[damage](run / NEWEST)
    assert restored(run) == 2
    told = [line for line in run.log() if isinstance(line, Note)]
    if damage != "gone":
        assert "checkpoint.pt" in told[0].message
        assert told[0].message.endswith(f"continuing from {PREVIOUS}")


@settings(max_examples=60, deadline=None)
@given(st.floats(0, 1))
def test_no_flipped_bit_goes_unseen(tmp_path_factory: pytest.TempPathFactory, place: float) -> None:
    run = written(tmp_path_factory.mktemp("flipped"), 2)
    flip(run / NEWEST, place)
    assert restored(run) in (1, 2)  # 2 only where the bit means nothing: the weights are compared


@pytest.mark.parametrize("damage", ["cut off", "a bit"])
def test_two_damaged_ones_are_an_error(damage: str, tmp_path: Path) -> None:
    run = written(tmp_path, 2)
    for name in (NEWEST, PREVIOUS):
        DAMAGE[damage](run / name)
    with pytest.raises(UserError, match=r"checkpoint.previous.pt: expected tensors saved by sparsenas, got a damaged"):
        restored(run)


def test_a_full_disk_leaves_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = written(tmp_path, 2)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", full)
        with pytest.raises(UserError, match="No space left on device"):
            Checkpoint(run, "supernet", seconds=0).save({"net": weight(3)})
    assert restored(run) == 2


def test_a_finished_stage_leaves_nothing(tmp_path: Path) -> None:
    run = written(tmp_path, 2)
    Checkpoint(run, "supernet").finish()
    assert list(tmp_path.iterdir()) == []
