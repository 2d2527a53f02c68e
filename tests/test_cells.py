"""What a report shows of cells and of sparse codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sparsenas.reporting import report
from sparsenas.spaces.genotype import Genotype
from sparsenas.spaces.published import PUBLISHED

ARCH = dict(PUBLISHED["ista_twostage"].arch)


def codes(epoch: int, **given: Any) -> dict[str, Any]:
    """A training line of an epoch."""
    per_choice = dict.fromkeys(ARCH, 0.1 / (epoch + 1))
    facts = {"kept": ARCH, "changed": max(0, 3 - epoch), "displaced": [], "frozen": sorted(ARCH)[: 2 * epoch]}
    facts |= {"moved": per_choice, "residual": per_choice, "gap": per_choice, **given}
    return {"stage": "supernet", "epoch": epoch, "epochs": 4, "loss": 1.0, "accuracy": 0.5, "codes": facts}


def written(folder: Path, arch: object, lines: list[dict[str, Any]], **results: Any) -> str:
    """The page of a run folder with these files."""
    folder.mkdir()
    (folder / "config.yaml").write_text("{space: {name: darts}, method: {name: ista_one_stage}, data: {name: digits}}")
    (folder / "run.json").write_text('{"format": 2, "command": "run", "versions": {}, "machine": "-"}')
    questions = [{"name": name, "options": kept, "least": 2, "most": 2} for name, kept in ARCH.items()]
    (folder / "choices.json").write_text(json.dumps({"choices": questions, "size": 10, "shape": [1, 8, 8]}))
    (folder / "best.json").write_text(json.dumps({"arch": arch, "text": "0", "costs": {"params": 10}}))
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "results.json").write_text(json.dumps(results))
    return report(folder).read_text()


def test_both_cells_are_drawn_with_every_operation(tmp_path: Path) -> None:
    page = written(tmp_path / "run", ARCH, [])
    normal, reduction = (page.index(f'aria-label="{kind} cell') for kind in ("Normal", "Reduction"))
    assert normal < reduction
    assert "node 1: skip_connect of input 1; node 1: dil_conv_3x3 of input 2; node 2: sep_conv_5x5 of input 1" in page
    assert page[normal:reduction].count("<title>") == 8
    assert str(Genotype.of(ARCH)).replace("'", "&#x27;") in page


def test_recoveries_are_told(tmp_path: Path) -> None:
    lines = [codes(epoch) for epoch in range(4)] + [codes(4, displaced=["normal.node1"])]
    page = written(tmp_path / "run", ARCH, lines, retrained={"accuracy": 0.9, "one_stage": True})
    assert "8 choices, of which 8 were frozen. The last support changed in epoch 3." in page
    assert "A budget forbids the strongest support of 1 choice" in page
    assert "Supports by epoch" in page
    assert "Accuracy on the test set (trained in one stage): 90.0" in page


@pytest.mark.parametrize(
    "arch",
    [
        {},
        {**ARCH, "normal.node1": "nonsense"},
        {**ARCH, "normal.node1": ["9:skip_connect", "0:skip_connect"]},
        {**ARCH, "reduce.node4": ["0:<script>", "1:skip_connect"]},
        {**ARCH, "reduce.node4": ["x:skip_connect", "1"]},
    ],
)
def test_what_is_no_cell_is_not_drawn(tmp_path: Path, arch: dict[str, Any]) -> None:
    page = written(tmp_path / "run", arch, [codes(0, moved="x", frozen=3, gap=None, changed="many", kept=7)])
    assert "Normal cell" not in page
    assert "<script>" not in page.split("<footer>")[0].replace('<script type="application/json">', "")
