"""NVIDIA Model Optimizer: AutoNAS, which trains a supernet, and FastNAS, which measures sensitivities.

Its own defaults allow channels in steps of 32, which leaves nothing to choose here; it is given the steps of all tools.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping
from typing import Any

import modelopt.torch.nas as mtn
import modelopt.torch.prune as mtp
import torch
from task import MULTIPLE, SHAPE, SHARES, Images, batches, costs, score
from torch import nn
from training import Settings, Training

CONVOLUTION = {"channels_ratio": SHARES, "channel_divisor": MULTIPLE, "kernel_size": ()}
LINEAR = {"features_ratio": SHARES, "feature_divisor": MULTIPLE}
RULES = {"nn.Conv2d": CONVOLUTION, "nn.Linear": LINEAR, "nn.BatchNorm2d": LINEAR}
ITERATIONS = 300
POPULATION = 40
"""Its evolution begins when so many candidates are within 85 to 100 % of the budget; by default 100."""
CALIBRATED = 50, 64
"""Batches, and their size, on which batch norms are calibrated: with fewer than 50 it warns and calibrates nothing."""


def _rules(more: Mapping[str, Any]) -> dict[str, Any]:
    return {name: {"*": rule} for name, rule in {**RULES, **more}.items()}


def fastnas(net: nn.Module, data: Images, share: float, seed: int) -> tuple[nn.Module, dict[str, Any]]:
    """The found network with inherited weights, and what it took."""
    torch.manual_seed(seed)
    started = time.perf_counter()
    net = copy.deepcopy(net)
    most = 2 * share * costs(net)["flops"]
    asked: list[float] = []

    def counted(candidate: nn.Module) -> float:
        asked.append(score(data)(candidate))
        return asked[-1]

    device = next(net.parameters()).device
    found, _ = mtp.prune(
        model=net,
        mode=[("fastnas", _rules({}))],
        constraints={"flops": most},
        dummy_input=torch.zeros(1, *SHAPE, device=device),
        config={"data_loader": batches(*data.train, *CALIBRATED), "score_func": counted, "verbose": False},
    )
    return found, {"search_s": time.perf_counter() - started, "scores": len(asked)}


class AutoNas:
    """A supernet, trained once by random subnetworks; searched within several budgets."""

    def __init__(self, net: nn.Module, data: Images, settings: Settings, seed: int) -> None:
        torch.manual_seed(seed)
        started = time.perf_counter()
        self.whole, self.data = costs(net)["flops"], data
        self.net = mtn.convert(copy.deepcopy(net), mode=[("autonas", _rules({"nn.Sequential": {"min_depth": 1}}))])
        training = Training(self.net, *data.train, settings, seed)
        self.net.train()
        for _ in range(settings.epochs):
            training.begin_epoch()
            for _ in range(training.steps):
                training.step()
        self.train_s = time.perf_counter() - started

    def search(self, share: float) -> tuple[nn.Module, dict[str, Any]]:
        """The found network with inherited weights, and what it took."""
        started = time.perf_counter()
        net, asked = copy.deepcopy(self.net), []

        def counted(candidate: nn.Module) -> float:
            asked.append(score(self.data)(candidate))
            return asked[-1]

        device = next(net.parameters()).device
        found, _ = mtn.search(
            net,
            constraints={"flops": 2 * share * self.whole},
            dummy_input=torch.zeros(1, *SHAPE, device=device),
            config={
                "num_iters": ITERATIONS,
                "population_size": POPULATION,
                "candidate_size": POPULATION // 4,
                "data_loader": batches(*self.data.train, *CALIBRATED),
                "score_func": counted,
                "verbose": False,
            },
        )
        told = {"train_s": self.train_s, "search_s": time.perf_counter() - started, "scores": len(asked)}
        return found, told | {"iterations": ITERATIONS}
