"""On a GPU, a training step never waits for it; and the benchmark of GPUs runs anywhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

from sparsenas.core.arch import Arch
from sparsenas.core.gate import choices, set_gates
from sparsenas.data.sources.digits import digits
from sparsenas.objectives import Classification
from sparsenas.spaces import tiny
from sparsenas.training.epoch import Epoch
from sparsenas.training.optimizers import make_optimizer
from sparsenas.training.recipe import Recipe
from sparsenas.training.step import inputs, update


@pytest.fixture
def no_waiting() -> Iterator[None]:
    yield
    torch.cuda.set_sync_debug_mode("default")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype")
@pytest.mark.parametrize("blend", [{}, {"mixup": 0.2}, {"cutmix": 1.0}, {"cutout": 4}])
def test_a_step_does_not_wait_for_the_device(blend: dict[str, float], no_waiting: None) -> None:
    fabric = Fabric(accelerator="cuda", devices=1, precision="bf16-mixed")
    recipe = Recipe(batch=32, augment=False, **blend)  # type: ignore[arg-type]
    data, net = digits().to(fabric.device), fabric.to_device(tiny())
    model, optimizer = fabric.setup(net, make_optimizer(recipe, net))
    figures, rng = Epoch("supernet", recipe, Classification(10)), np.random.default_rng(0)
    batches = list(data.train.shuffled(recipe.batch, 0))[:6]
    for i, batch in enumerate(batches):
        if i == 2:  # libraries load their kernels in the first steps
            torch.cuda.synchronize()
            torch.cuda.set_sync_debug_mode("error")
        torch.manual_seed(i)
        set_gates(net, Arch.sample(choices(net), rng).gates())
        x, target = inputs(data, batch, recipe, 0)
        fabric.backward(figures.loss(model(x), target))
        update(fabric, model, optimizer, recipe)
    torch.cuda.set_sync_debug_mode("default")
    assert np.isfinite(figures.end()["metrics"]["loss"])


def test_the_benchmark_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parent.parent / "benchmarks")
    from benchmarks.gpu import main

    main(["--tiny", "--only", "nasbench", "--json", str(tmp_path / "rates.json")])
    found = json.loads((tmp_path / "rates.json").read_text())
    assert [row["workload"] for row in found["rows"]] == ["spos nasbench_macro", "spos nasbench_macro, scoring"]
    assert all(row["images_per_second"] > 0 and row["plain"] > 0 and row["share"] > 0 for row in found["rows"])
    assert "of ceiling" in capsys.readouterr().out
