"""What the benchmarks run: two spaces at the sizes of their images, with seeded weights, images and paths."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from sparsenas.core.arch import Arch
from sparsenas.core.gate import choices
from sparsenas.data import Data, Split, cifar10
from sparsenas.searching.evolution import Evolution, Score, SearchProblem
from sparsenas.spaces import nasbench_macro, shufflenet
from sparsenas.testing import shaken


@dataclass(frozen=True)
class Case:
    """A space, its images and how many of them are in a batch."""

    space: str
    pixels: int
    batch: int
    cifar: Path | None = None
    """Where CIFAR-10 is; random images without."""

    @property
    def title(self) -> str:
        """For the printed line."""
        return f"{self.space} {self.pixels}x{self.pixels}"

    def supernet(self) -> nn.Sequential:
        """The supernet, the same at every call."""
        torch.manual_seed(0)
        shape = (3, self.pixels, self.pixels)
        net = shaken(shufflenet(shape=shape) if self.space == "shufflenet" else nasbench_macro(shape))
        assert isinstance(net, nn.Sequential)
        return net

    def data(self, count: int) -> Data:
        """Images for training and as many held-out ones."""
        if self.cifar is not None:
            whole = cifar10(self.cifar)
            first = torch.arange(count)
            train, val = whole.train.subset(first), whole.val.subset(first)
            return Data(whole.classes, train, val, val, whole.mean, whole.std)
        torch.manual_seed(1)
        train, val = (
            Split(
                torch.randint(0, 256, (count, 3, self.pixels, self.pixels), dtype=torch.uint8), torch.arange(count) % 10
            )
            for _ in range(2)
        )
        return Data(tuple("0123456789"), train, val, val, (0.5,) * 3, (0.25,) * 3)

    def batches(self, count: int) -> list[tuple[Tensor, Tensor]]:
        """So many batches of images, channels last in memory, with labels."""
        data = self.data(count * self.batch)
        return [(data.prepared(part.inputs), part.targets) for part in data.train.batches(self.batch)]

    def paths(self, count: int) -> list[Arch]:
        """Uniformly drawn paths."""
        questions, rng = choices(self.supernet()), np.random.default_rng(0)
        return [Arch.sample(questions, rng) for _ in range(count)]

    def generations(self, population: int, count: int) -> list[list[Arch]]:
        """A random generation and those that evolution makes of it, when every option has a merit of its own."""
        questions, rng = choices(self.supernet()), np.random.default_rng(0)
        merits = {name: rng.normal(size=len(choice.options)) for name, choice in questions.items()}

        def draw(rng: np.random.Generator, wanted: object) -> Arch:
            return Arch.sample(questions, rng)

        space = SearchProblem(questions, draw, lambda archs: [True] * len(archs), lambda arch: arch)
        half = population // 2
        evolution = Evolution(space, rng, population, count - 1, 10, half, half)
        asked = []
        while archs := evolution.ask():
            asked.append(archs)
            evolution.tell(archs, [Score(sum(merits[n][arch[n][0]] for n in arch), 0.0) for arch in archs])
        return asked
