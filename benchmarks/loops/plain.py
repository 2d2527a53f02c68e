"""The jobs as plain loops: written as the released code of the papers does them, with PyTorch's defaults.

Contiguous layout, the system's heap, one candidate at a time, optimisers that go through the weights one by one.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import SGD, Optimizer

from sparsenas.core.arch import Arch
from sparsenas.core.gate import set_gates
from sparsenas.data import Target
from sparsenas.methods import Method
from sparsenas.objectives import Classification, Metrics
from sparsenas.searching.eval_batches import EvalBatches
from sparsenas.spaces.shufflenet import ShuffleUnit
from sparsenas.training.loss import training_loss
from sparsenas.training.recipe import Recipe

OBJECTIVE = Classification()


class PublishedUnit(nn.Module):
    """A ShuffleNet unit whose channels are shuffled by a copy, as SPOS's released code does."""

    def __init__(self, unit: ShuffleUnit) -> None:
        super().__init__()
        self.main, self.project = unit.main, unit.project

    def forward(self, x: Tensor) -> Tensor:
        if self.project is not None:
            return torch.cat((self.project(x), self.main(x)), 1)
        n, c, h, w = x.shape
        passing, rest = x.reshape(n * c // 2, 2, h * w).permute(1, 0, 2).reshape(2, -1, c // 2, h, w)
        return torch.cat((passing, self.main(rest)), 1)


def published(net: nn.Module) -> nn.Module:
    """The supernet with published units, in place."""
    for module in list(net.modules()):
        for name, child in module.named_children():
            if isinstance(child, ShuffleUnit):
                module._modules[name] = PublishedUnit(child)
    return net


def sgd(net: nn.Module, recipe: Recipe) -> SGD:
    """SGD as it comes, with weight decay on matrices and filters only."""
    weights, others = ([p for p in net.parameters() if (p.dim() > 1) == big] for big in (True, False))
    groups = [{"params": weights, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return SGD(groups, lr=recipe.lr, momentum=recipe.momentum, nesterov=recipe.nesterov)


def architecture_step(
    net: nn.Module, optimizer: Optimizer, recipe: Recipe, method: Method, x: Tensor, labels: Tensor
) -> None:
    """One step of the architecture; gradients of all weights are computed and thrown away."""
    set_gates(net, method.gates())
    training_loss(OBJECTIVE, recipe, net(x), Target(labels)).backward()
    optimizer.step()
    optimizer.zero_grad()


def train_step(
    net: nn.Module, optimizer: SGD, recipe: Recipe, arch: Arch | Method, x: Tensor, labels: Tensor
) -> Tensor:
    """One step on one path, or what a method runs; weights it leaves out are found by their gradients of zero."""
    set_gates(net, arch.gates())
    loss = training_loss(OBJECTIVE, recipe, net(x), Target(labels))
    optimizer.zero_grad(set_to_none=False)
    loss.backward()
    for p in net.parameters():
        if p.grad is not None and p.grad.sum() == 0:
            p.grad = None
    nn.utils.clip_grad_norm_(net.parameters(), recipe.clip)
    optimizer.step()
    return loss


@torch.no_grad()
def score(net: nn.Module, arch: Arch, eval_batches: EvalBatches) -> Metrics:
    """One candidate: forget the batch norms' statistics, average those of the calibration batches, count hits."""
    set_gates(net, arch.gates())
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None  # a plain average; the released code's 0.1 forgets the first batches
    net.train()
    for x in eval_batches.calibration:
        net(x)
    net.eval()
    hits, loss = 0, 0.0
    for x, labels in eval_batches.val_batches:
        logits = net(x)
        hits += int((logits.argmax(1) == labels).sum())
        loss += float(F.cross_entropy(logits, labels, reduction="sum"))
    return {"accuracy": hits / eval_batches.examples, "loss": loss / eval_batches.examples}
