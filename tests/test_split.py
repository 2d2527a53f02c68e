"""The split of a run is kept with it, and a data set that has changed is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sparsenas.__main__ import main
from sparsenas.data.fingerprint import changed, split
from sparsenas.data.sources.digits import digits

FLAGS = ["--space.width=4", "--space.blocks=1", "--search.epochs=1", "--accelerator=cpu", "--method=random"]
FLAGS += ["--method.evaluations=2", "--search.batch=4"]


@given(st.integers(0, 5), st.floats(0.05, 0.5))
def test_the_record_names_the_images(seed: int, share: float) -> None:
    data = digits(seed, share)
    record = json.loads(json.dumps(split(data)))
    rest = torch.as_tensor(sorted(set(range(1797)) - set(record["val_rows"])))
    assert record["val"] == len(record["val_rows"]) == 1797 - len(rest)
    everything = digits(seed, share)
    assert changed(record, everything) == ""
    assert changed(record, replace(data, test=data.test.subset(torch.arange(9)))) == "expected 360 test examples, got 9"
    flipped = replace(data, train=data.train.subset(torch.arange(len(data.train)).flip(0)))
    assert changed(record, flipped) == "the targets are others (checksum differs)"
    moved = replace(data, val_rows=torch.zeros(3))
    assert changed(record, moved) == "other examples are in the validation split"


def picture(path: Path, shade: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (12, 12), (shade, shade, 255 - shade)).save(path)


def test_added_files_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for i in range(20):
        for name in ("cat", "dog"):
            picture(tmp_path / "pictures" / name / f"{i:02}.png", i * 9)
    out = tmp_path / "run"
    data = ["--data=imagefolder", f"--data.root={tmp_path / 'pictures'}", "--data.size=8", "--data.val_share=0.25"]
    assert main(["search", "--out", str(out), *data, "--data.workers=0", *FLAGS]) == 0
    record = json.loads((out / "split.json").read_text())
    assert (record["train"], record["val"], record["test"]) == (24, 8, 8)
    assert (out / "split.json").read_text().count("\n") == 1
    assert main(["search", "--out", str(out), "--resume"]) == 0
    picture(tmp_path / "pictures" / "cat" / "new.png", 3)
    for argv in (
        ["search", "--out", str(out), "--resume"],
        ["retrain", str(out)],
        ["evolve", str(out), "--out", str(tmp_path / "again")],
    ):
        capsys.readouterr()
        assert main(argv) == 2
        error = capsys.readouterr().err
        assert "split.json: the data set has changed since this run began: expected 8 test examples, got 9" in error
        assert error.count("\n") == 1
    (tmp_path / "pictures" / "cat" / "new.png").unlink()
    assert main(["evaluate", str(out), "--arch", "found"]) == 0
