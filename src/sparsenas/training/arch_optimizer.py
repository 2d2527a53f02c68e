"""The architecture parameters' part in the training of a supernet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer

from sparsenas.core.dag import prune
from sparsenas.core.gate import Gates, set_gates
from sparsenas.core.join import Join
from sparsenas.data import Examples, Split
from sparsenas.distributed.collectives import average_gradients, rank, rank_slice, world
from sparsenas.methods.base import Method

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class ArchOptimizer:
    """Steps of a method's own optimizer; a method without one costs nothing.

    Bilevel optimization: a method that learns on validation images takes a step before each step of the weights
    (first order). Joint optimization: any other method learns from the backward pass of the weights.
    """

    def __init__(self, fabric: Fabric, method: Method) -> None:
        self.fabric, self.method = fabric, method
        fabric.to_device(method)
        optimizer = method.optimizer()
        self.optimizer = None if optimizer is None else cast(Optimizer, fabric.setup_optimizers(optimizer))
        self.bilevel = self.optimizer is not None and method.learns_on_val

    def parts(self) -> Mapping[str, Any]:
        """What a checkpoint needs."""
        return {} if self.optimizer is None else {"architecture": self.optimizer}

    def begin_epoch(self, net: nn.Module, epochs: int) -> int:
        """Freezes and thaws batch norms where the method requires it; returns the epoch in which schedules begin.

        The batch norms of a choice learn their affine parameters once the weights of its options are constant.
        Schedules begin when the architecture is fixed; until then, that is the end of all ``epochs``.
        """
        gates = self.method.gates() if self.method.freeze_norm_affine else {}
        for module in net.modules() if gates else ():
            if isinstance(module, Join):
                weights = gates[module.choice.name].weights
                norms = [norm for norm in module.ops.modules() if isinstance(norm, _BatchNorm)]
                for parameter in (p for norm in norms for p in norm.parameters(recurse=False)):
                    parameter.requires_grad_(weights is None or not weights.requires_grad)
        fixed = self.method.architecture_fixed_at()
        return epochs if fixed is None else fixed

    def batches(self, split: Examples, size: int, seed: int, skip: int = 0) -> Iterator[Split]:
        """Validation batches without end, from batch ``skip`` on; ``seed`` decides the order of each round."""
        orders, whole = np.random.default_rng(seed), len(split) // min(size, len(split))
        while self.bilevel:
            yield from split.shuffled(size, int(orders.integers(2**63)), rank_slice(), min(skip, whole))
            skip = max(0, skip - whole)

    def set_gates(self, net: nn.Module, own: bool = False) -> Gates:
        """Sets the gates for a step of the weights and returns them; with ``own`` each process has others."""
        gates = [self.gates() for _ in range(world())][rank()] if own else self.gates()
        set_gates(net, gates)
        return gates

    def gates(self) -> Gates:
        """The method's gates; in bilevel optimization, no gradient of the weights' step reaches them."""
        gates = self.method.gates()
        if not self.bilevel:
            return gates
        return {n: g if g.weights is None else g._replace(weights=g.weights.detach()) for n, g in gates.items()}

    def bilevel_step(self, loss: Tensor) -> None:
        """One step on the loss of validation images; gradients of the network's weights are not computed."""
        self.fabric.backward(loss, inputs=list(self.method.parameters()))
        self._step()

    def joint_step(self) -> None:
        """One step on the gradients of the weights' backward pass, for a method that learns from it."""
        if self.optimizer is not None and not self.bilevel:
            self._step()

    def _step(self) -> None:
        assert self.optimizer is not None
        average_gradients(self.method.parameters())
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def end_epoch(self, epoch: int, weights: PrunableOptimizer) -> bool:
        """Ends an epoch of the method and removes what it has pruned; says whether the method has converged."""
        converged = self.method.end_epoch(epoch)
        if self.method.prunes and prune(weights.net, self.method.gates()):
            weights.drop_pruned()
        return converged


class PrunableOptimizer:
    """The optimizer of a network that may lose weights, for a checkpoint."""

    def __init__(self, optimizer: Optimizer, net: nn.Module) -> None:
        self.optimizer, self.net = optimizer, net
        self.state_dict = optimizer.state_dict

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores the state of the weights that are left; the network is restored before."""
        self.drop_pruned()
        self.optimizer.load_state_dict(state)

    def drop_pruned(self) -> None:
        """Drops the state of weights that the network no longer has."""
        kept = {id(p) for p in self.net.parameters()}
        for group in self.optimizer.param_groups:
            group["params"] = [p for p in group["params"] if id(p) in kept]
        for pruned in [p for p in self.optimizer.state if id(p) not in kept]:
            del self.optimizer.state[pruned]
