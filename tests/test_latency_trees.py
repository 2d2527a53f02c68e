"""Latency of networks whose input is a tree of tensors, whole and layer by layer, with both engines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import sparsenas
from sparsenas import Arch, Join, choices, derive
from sparsenas.__main__ import main
from sparsenas.costs.latency import LATENCY, Settings
from sparsenas.timing import ENGINES
from sparsenas.timing.engines import batch_of

BUDGET = [f"{LATENCY}<=100%"]


class Pair(nn.Module):
    """An image, and numbers that an embedding reads."""

    seen: tuple[tuple[int, ...], ...] = ()

    def __init__(self) -> None:
        super().__init__()
        self.image, self.words = nn.Conv2d(1, 4, 3), nn.Embedding(7, 4)
        self.join = Join.of("more", {"yes": nn.Linear(4, 4), "no": nn.Identity()})
        self.last = nn.Linear(4, 2)

    def forward(self, image: Tensor, words: Tensor) -> Tensor:
        Pair.seen += (tuple(image.shape),)
        x = self.image(image).mean((2, 3)) + self.words(words).mean(1)
        out: Tensor = self.last(self.join(x))
        return out


def inputs() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(60, 1, 6, 6, generator=generator), torch.randint(7, (60, 3), generator=generator)


def pairs() -> Any:
    return inputs()


def named() -> Any:
    image, words = inputs()
    return {"words": words, "image": image}


@pytest.mark.parametrize("data", [pairs, named])
@pytest.mark.parametrize("engine", ["torch", "onnxruntime"])
def test_layers_and_whole_networks_are_measured(engine: str, data: Any, tmp_path: Path) -> None:
    table = tmp_path / "table.json"
    flags = ["--space=test_latency_trees:Pair", f"--example=test_latency_trees:{data.__name__}", f"--engine={engine}"]
    short = ["--networks=2", "--repeats=2", "--warmup=0", "--seconds=0", "--threads=1"]
    assert main(["latency", *flags, *short, "--out", str(table)]) == 0
    found = json.loads(table.read_text())
    assert {layer["op"] for layer in found["layers"]} >= {"conv2d", "linear"}
    (checked,) = found["checks"].values()
    assert checked["networks"] == 2
    assert list(found["checks"]) == ["--space test_latency_trees:Pair"]


@pytest.mark.parametrize("engine", ["torch", "onnxruntime"])
def test_a_whole_batch_is_run(engine: str) -> None:
    net = Pair()
    plain = derive(net, Arch(choices(net), {"more": (0,)}).gates()).eval()
    example = tuple(leaf[:1] for leaf in inputs())
    batch = batch_of(example, 5)
    assert [tuple(leaf.shape) for leaf in batch] == [(5, 1, 6, 6), (5, 3)]
    assert batch[1].dtype == torch.int64
    assert all(torch.equal(leaf, one.expand_as(leaf)) for leaf, one in zip(batch, example, strict=True))
    Pair.seen = ()
    work = ENGINES[engine](Settings(engine, batch=5)).network(plain, example)
    work.run()
    work.wait()
    assert Pair.seen[-1] == (5, 1, 6, 6)


def test_a_search_of_such_a_network_with_measured_latency(tmp_path: Path) -> None:
    table, out = tmp_path / "table.json", tmp_path / "run"
    flags = ["--space=test_latency_trees:Pair", "--example=test_latency_trees:pairs", "--networks=0", "--repeats=2"]
    assert main(["latency", *flags, "--threads=1", "--out", str(table)]) == 0
    found = sparsenas.run(
        Pair,
        (pairs(), torch.arange(60) % 2),
        budget=BUDGET,
        out=out,
        latency=str(table),
        method={"name": "spos", "generations": 0},
        search={"epochs": 1},
        retrain={"epochs": 1},
        score={"calibration": 16},
        baselines=0,
        threads=1,
        accelerator="cpu",
    )
    measured = found.results.latency
    assert measured is not None
    assert measured.measured_ms is not None
    assert measured.measured_ms > 0
    assert measured.table_ms == found.costs[LATENCY]
