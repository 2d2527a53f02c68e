"""Images a second of every kind of training step and of scoring, on a GPU: one table.

Ours is the training loop itself as the library runs it: bf16 autocast, channels last, images on the device. Its rate is
what it logs, which waits for the device once, at the end of an epoch. Plain is an eager loop in fp32 and contiguous
memory (``loops/plain.py``), timed by events between two waits. The ceiling is what a large matrix product reaches in
the same call; a share of it counts three passes of two operations a multiply-add. Scoring is in fp32 on both
sides. Images are random.

    python benchmarks/gpu.py --json rates.json     # rates.json is what scaling.py reads
    python benchmarks/gpu.py --tiny                # any machine: small shapes, two steps
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from loops import plain
from rich.console import Console
from rich.table import Table
from torch import nn

from sparsenas.core.arch import Arch
from sparsenas.core.gate import choices
from sparsenas.core.join import Join
from sparsenas.costs import CostTable, Limits
from sparsenas.data import Data, Split
from sparsenas.methods import Dso, Ista, IstaOneStage, Method, Spos
from sparsenas.rundir.checkpoint import Checkpoint
from sparsenas.rundir.folder import Run
from sparsenas.rundir.log import EpochEnd
from sparsenas.rundir.logger import RunLogger
from sparsenas.searching.eval_batches import make_eval_batches
from sparsenas.searching.population_evaluator import Scorer
from sparsenas.spaces import darts, darts_imagenet, dso, dso_imagenet, nasbench_macro, shufflenet
from sparsenas.training.loops import train_supernet
from sparsenas.training.recipe import Recipe

CLASSES = 10
EPOCHS = 3
"""Of which the last is timed."""
Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Workload:
    """A space under a method, at the size of its images."""

    name: str
    space: Callable[..., nn.Module]
    small: Callable[..., nn.Module]
    """The space as any machine can train it."""
    method: Callable[..., Method]
    pixels: int
    batch: int
    passes: float = 1.0
    """Batches that go through the network for each that is counted: those of the architecture come on top."""

    @property
    def shape(self) -> Shape:
        """Of an image."""
        return 3, self.pixels, self.pixels

    def network(self) -> nn.Module:
        """The supernet, the same at every call."""
        torch.manual_seed(0)
        return self.space(shape=self.shape, classes=CLASSES)

    def learner(self, net: nn.Module) -> Method:
        """The method, which searches from the first epoch."""
        flags = {"epochs": EPOCHS, "pretrain": 0.0} if self.method is Dso else {}
        return self.method(choices(net), Limits(CostTable(net, self.shape)), 0, **flags)

    def data(self, count: int, device: torch.device) -> Data:
        """Random images, as many of them held out."""
        shape, generator = (count, *self.shape), torch.Generator().manual_seed(1)
        parts = [
            Split(torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator), torch.arange(count) % CLASSES)
        ]
        return Data(tuple("0123456789"), *(parts * 3), (0.5,) * 3, (0.25,) * 3).to(device)  # type: ignore[misc]


WORKLOADS = (
    Workload("spos imagenet", shufflenet, shufflenet, Spos, 224, 256),
    Workload("spos nasbench_macro", nasbench_macro, nasbench_macro, Spos, 32, 512),
    Workload("ista cifar", partial(darts, 16, 8), partial(darts, 2, 3), Ista, 32, 256, 2.0),
    Workload(
        "ista imagenet", partial(darts_imagenet, 48, 14, "all", True), partial(darts_imagenet, 4, 3, "all", True),
        IstaOneStage, 224, 128,
    ),
    Workload("dso cifar", partial(dso, 48, 8), partial(dso, 2, 1), Dso, 32, 128, 2.0),
    Workload(
        "dso imagenet", partial(dso_imagenet, 28, (2, 2, 13, 6)), partial(dso_imagenet, 2, (1, 1, 1, 1)),
        Dso, 224, 128, 2.0,
    ),
)  # fmt: skip
"""What is measured, at the papers' sizes."""


def tiny(work: Workload) -> Workload:
    """The same for any machine."""
    return replace(work, space=work.small, pixels=work.pixels // 7 if work.pixels > 32 else 8, batch=2)


@dataclass
class Timer:
    """Seconds and the peak of device memory of what runs inside; it waits for the device before and after only."""

    device: torch.device
    seconds: float = 0.0
    mebibytes: float | None = None

    def __enter__(self) -> Timer:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            self.events = [torch.cuda.Event(enable_timing=True) for _ in range(2)]
            self.events[0].record()
        self.start = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        if self.device.type == "cuda":
            self.events[1].record()
            torch.cuda.synchronize()
            self.seconds = self.events[0].elapsed_time(self.events[1]) / 1000
            self.mebibytes = torch.cuda.max_memory_allocated() / 2**20
        else:
            self.seconds = time.perf_counter() - self.start


def ceiling(device: torch.device) -> float:
    """Operations a second of a large matrix product: in bf16 on a GPU, small elsewhere."""
    size, kind = (8192, torch.bfloat16) if device.type == "cuda" else (256, torch.float32)
    a, b = (torch.randn(size, size, device=device, dtype=kind) for _ in range(2))
    for _ in range(3):
        a @ b
    with Timer(device) as timer:
        for _ in range(10):
            a @ b
    return 10 * 2 * size**3 / timer.seconds


def our_training(work: Workload, steps: int, fabric: Fabric, compiled: bool = False) -> tuple[float, float | None]:
    """Images a second of the library's own loop, and its peak of memory."""
    net = work.network()
    method = work.learner(net)
    net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if compiled:
        for op in [op for module in net.modules() if isinstance(module, Join) for op in module.ops]:
            op.compile(dynamic=False)
    data, recipe = work.data(steps * work.batch, fabric.device), Recipe(EPOCHS, work.batch, lr=1e-3, augment=False)
    with tempfile.TemporaryDirectory() as folder:
        run = Run(folder)
        with Timer(fabric.device) as timer:
            checkpoint = Checkpoint(run, "supernet", seconds=1e9)
            train_supernet(
                fabric, net, method, data, plain.OBJECTIVE, recipe, 0, RunLogger(run, quiet=True), checkpoint
            )
        logged = [line for line in run.log() if isinstance(line, EpochEnd)]
    return logged[-1].examples_per_s, timer.mebibytes


def plain_training(work: Workload, steps: int, device: torch.device) -> tuple[float, float | None]:
    """The same of a plain loop."""
    net = plain.published(work.network())
    method = work.learner(net).to(device)
    net, recipe = net.to(device).train(), Recipe(EPOCHS, work.batch, lr=1e-3)
    optimizer, architecture = plain.sgd(net, recipe), method.optimizer()
    data = work.data(work.batch, device)
    x, labels = data.prepared(data.train.inputs).contiguous(), data.train.targets

    def step(number: int) -> None:
        if architecture is not None and method.takes_arch_step(0, number) and method.learns_on_val:
            plain.architecture_step(net, architecture, recipe, method, x, labels)
        plain.train_step(net, optimizer, recipe, method, x, labels)
        if architecture is not None:
            if not method.learns_on_val:
                architecture.step()
            architecture.zero_grad()

    step(0)
    with Timer(device) as timer:
        for number in range(steps):
            step(number)
    return steps * work.batch / timer.seconds, timer.mebibytes


def scoring(work: Workload, population: int, device: torch.device, ours: bool) -> tuple[float, float | None]:
    """Images a second that candidates are shown, to calibrate and to ask."""
    net = work.network().to(device)
    eval_batches = make_eval_batches(work.data(work.batch, device), work.batch, work.batch, work.batch, 0)
    rng = np.random.default_rng(0)
    archs = [Arch.sample(choices(net), rng) for _ in range(2 * population)]
    if ours:
        net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        scorer: Callable[[Sequence[Arch]], object] = Scorer(net, eval_batches, plain.OBJECTIVE)
    else:
        net = plain.published(net)
        scorer = lambda asked: [plain.score(net, arch, eval_batches) for arch in asked]  # noqa: E731
    scorer(archs[:population])
    with Timer(device) as timer:
        scorer(archs[population:])
    return population * 2 * work.batch / timer.seconds, timer.mebibytes


def operations(work: Workload) -> float:
    """Of one image forward: two a multiply-add, of the answer that runs or on average over random paths."""
    net = work.network()
    table, method = CostTable(net, work.shape), work.learner(net)
    rng, learned = np.random.default_rng(0), method.final()
    archs = [learned.arch] if learned is not None else [Arch.sample(choices(net), rng) for _ in range(8)]
    return 2 * float(np.mean([table.exact(arch)["flops"] for arch in archs]))


def measured(
    works: Sequence[Workload], population: int, steps: int, compiled: bool, most: float, fabric: Fabric
) -> Iterator[dict[str, Any]]:
    """A row a workload."""
    for work in works:
        rate, memory = our_training(work, steps, fabric)
        slow, more = plain_training(work, steps, fabric.device)
        row = {"workload": work.name, "batch": work.batch, "images_per_second": rate, "plain": slow}
        row |= {"mebibytes": memory, "plain_mebibytes": more}
        row["share"] = 3 * work.passes * operations(work) * rate / most
        if compiled:
            row["compiled"] = our_training(work, steps, fabric, compiled=True)[0]
        yield row
        if work.method is Spos:
            rate, memory = scoring(work, population, fabric.device, ours=True)
            slow, more = scoring(work, population, fabric.device, ours=False)
            row = {"workload": f"{work.name}, scoring", "batch": work.batch, "images_per_second": rate, "plain": slow}
            yield row | {"mebibytes": memory, "plain_mebibytes": more, "share": operations(work) * rate / most}


def show(rows: Sequence[dict[str, Any]]) -> None:
    """Prints the table."""
    columns = ["images_per_second", "plain", "compiled", "mebibytes", "plain_mebibytes"]
    table = Table("workload", "batch", "images/s", "plain", "ratio", "compiled", "MiB", "plain MiB", "of ceiling")
    for row in rows:
        rate, slow, fast, memory, more = ("-" if row.get(c) is None else f"{row[c]:,.0f}" for c in columns)
        ratio = f"{row['images_per_second'] / row['plain']:.2f}x"
        table.add_row(row["workload"], str(row["batch"]), rate, slow, ratio, fast, memory, more, f"{row['share']:.2%}")
    Console(width=120).print(table)


def main(argv: Sequence[str] | None = None) -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="small shapes and two steps, on any machine")
    parser.add_argument("--compile", action="store_true", help="also with the options of every choice compiled (CUDA)")
    parser.add_argument("--steps", type=int, default=20, help="steps that are timed")
    parser.add_argument("--only", default="", help="workloads whose name has this")
    parser.add_argument("--json", type=Path, help="write the rows and the ceiling to a file")
    flags = parser.parse_args(argv)
    cuda = torch.cuda.is_available() and not flags.tiny
    if not cuda and not flags.tiny:
        print("no CUDA device here; --tiny runs anywhere")
        return
    fabric = Fabric(accelerator="cuda" if cuda else "cpu", devices=1, precision="bf16-mixed")
    most = ceiling(fabric.device)
    name = torch.cuda.get_device_name() if cuda else "cpu, tiny shapes"
    print(f"{name}, PyTorch {torch.__version__}: a matrix product reaches {most / 1e12:.3g} T operations a second")
    works = [work for work in WORKLOADS if flags.only in work.name]
    if flags.tiny:
        works, population, steps = [tiny(work) for work in works], 3, 2
    else:
        population, steps = 50, flags.steps
    rows = []
    for row in measured(works, population, steps, flags.compile and cuda, most, fabric):
        rows.append(row)
        print(f"{row['workload']}: {row['images_per_second']:,.0f} images/s, plain {row['plain']:,.0f}", flush=True)
    show(rows)
    if flags.json:
        flags.json.write_text(json.dumps({"device": name, "ceiling": most, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
