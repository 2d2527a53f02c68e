"""sparsenas: sensitivities without training, a supernet with evolution, sparse scales; all on the opened network."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from task import CALIBRATION, MULTIPLE, SHAPE, SHARES, Images
from torch import Tensor, nn
from training import MEAN, STD, Settings

import sparsenas
from sparsenas.core.derive import derive
from sparsenas.costs import Budget, CostTable, Limits
from sparsenas.data import Data, Split

CLASSES = tuple(map(str, range(10)))
SCORE = {"calibration": CALIBRATION, "batch": 1000}


def shifted(x: Tensor) -> Tensor:
    """Images in a batch moved by up to 2 pixels each way and mirrored at random, as those of the other tools."""
    count, channels, height, width = x.shape
    moves = torch.randint(5, (2, count), device=x.device)
    rows = moves[0, :, None] + torch.arange(height, device=x.device)
    columns = torch.arange(width, device=x.device)
    mirrored = torch.rand(count, 1, device=x.device) < 0.5
    across = moves[1, :, None] + torch.where(mirrored, width - 1 - columns, columns)
    mean = torch.tensor(MEAN, device=x.device).view(1, 3, 1, 1)
    padded = nn.functional.pad(x - mean, (2,) * 4) + mean
    padded = padded.gather(2, rows[:, None, :, None].expand(-1, channels, -1, padded.shape[3]))
    return padded.gather(3, across[:, None, None, :].expand(-1, channels, height, -1))


def data(images: Images) -> Data:
    """The images as the library takes them."""
    train, val, test = (Split(x.cpu(), y.cpu()) for x, y in (images.train, images.val, images.test))
    return Data(CLASSES, train, val, test, MEAN, STD, shifted)


def _recipe(settings: Settings, epochs: int, **more: Any) -> dict[str, Any]:
    fields = {"epochs": epochs, "batch": settings.batch, "lr": settings.lr, "weight_decay": settings.weight_decay}
    return {**fields, "smoothing": settings.smoothing, "clip": 0.0, "warmup": min(1.0, epochs / 2), **more}


def _opened(net: nn.Module, **options: Any) -> nn.Module:
    return sparsenas.open(net, torch.zeros(1, *SHAPE), multiple=MULTIPLE, **options)


class Searches:
    """All searches of one trained network with one seed; run folders go to ``out``."""

    def __init__(self, net: nn.Module, images: Images, settings: Settings, seed: int, out: Path) -> None:
        self.net, self.data, self.settings, self.seed, self.out = net.cpu(), data(images), settings, seed, out
        self.device = {"accelerator": "cuda" if images.train[0].is_cuda else "cpu", "threads": 1}
        self.flags: dict[str, Any] = {"seed": seed, "score": SCORE, **self.device}

    def sensitivity(self, share: float, depth: bool = True) -> tuple[nn.Module, dict[str, Any]]:
        """Trains nothing; ``depth`` tells whether blocks may be left out."""
        space = _opened(self.net, shares=SHARES, depth=depth)
        return self._searched("sensitivity", share, _recipe(self.settings, 0), space)

    def dso(self, share: float) -> tuple[nn.Module, dict[str, Any]]:
        """Trains scales on all channels and prunes them."""
        method = {"name": "dso", "pretrain": 0.0, "prune_every": 1, "adapt": "none"}
        recipe = _recipe(self.settings, self.settings.epochs, schedule="constant", lr=self.settings.lr / 2)
        return self._searched(method, share, recipe, _opened(self.net, groups=True))

    def spos(self, shares: list[float]) -> list[tuple[nn.Module, dict[str, Any]]]:
        """Trains one supernet by the sandwich rule, and evolves it within each budget."""
        recipe = _recipe(self.settings, self.settings.epochs, distill="sandwich")
        started = time.perf_counter()
        method = {"name": "spos", "generations": 5}
        space = _opened(self.net, shares=SHARES)
        found = sparsenas.search(
            space,
            self.data,
            method={**method, "generations": 0},
            budget=f"flops<={shares[0]:.0%}",
            search=recipe,
            out=self.out / "spos",
            **self.flags,
        )
        trained, results = time.perf_counter() - started, []
        for share in shares:
            started = time.perf_counter()
            small = sparsenas.evolve(
                found, f"flops<={share:.0%}", method=method, out=self.out / f"spos{share}", **self.device
            )
            told = {"train_s": trained, "search_s": time.perf_counter() - started, "val": dict(small.val)}
            results.append((small.network(), told))
        return results

    def random(self, share: float, count: int) -> list[nn.Module]:
        """Random networks of 95 to 100 % of the budget, with inherited weights."""
        space = _opened(self.net, shares=SHARES).eval()
        table = CostTable(space, SHAPE)
        most = share * float(table([table.extremes("flops")[1]])["flops"][0])
        limits = Limits(table, [Budget("flops", at_least=0.95 * most, at_most=most)])
        rng = np.random.default_rng(self.seed)
        archs = [limits.draw(rng) for _ in range(count)]
        return [derive(space, arch.gates()) for arch in archs if arch is not None]

    def _searched(
        self, method: object, share: float, recipe: dict[str, Any], space: nn.Module
    ) -> tuple[nn.Module, dict[str, Any]]:
        started = time.perf_counter()
        name = method if isinstance(method, str) else "dso"
        found = sparsenas.search(
            space,
            self.data,
            method=method,
            budget=f"flops<={share:.0%}",
            search=recipe,
            out=self.out / f"{name}{share}",
            **self.flags,
        )
        return found.network(), {"search_s": time.perf_counter() - started, "val": dict(found.val or {})}
