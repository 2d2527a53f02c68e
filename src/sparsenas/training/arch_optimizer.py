"""The architecture parameters' part in the training of a supernet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

import numpy as np
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer

from sparsenas.core.dag import prune
from sparsenas.core.gate import Gates, set_gates
from sparsenas.core.join import Join
from sparsenas.data import Images, Split
from sparsenas.distributed.collectives import average_gradients, rank, rank_slice, world
from sparsenas.methods.base import Method


class ArchOptimizer:
    """Steps of a method's own optimizer; a method without one costs nothing.

    A method that learns on the held-out half takes its step before each step of the weights (two-stage, first order);
    any other one learns from the very backward pass of the weights (one-stage).
    """

    def __init__(self, fabric: Fabric, method: Method) -> None:
        self.fabric, self.method = fabric, method
        fabric.to_device(method)
        optimizer = method.optimizer()
        self.optimizer = None if optimizer is None else cast(Optimizer, fabric.setup_optimizers(optimizer))
        self.apart = self.optimizer is not None and method.learns_on_val

    def parts(self) -> Mapping[str, Any]:
        """What a checkpoint needs."""
        return {} if self.optimizer is None else {"architecture": self.optimizer}

    def batches(self, split: Images, size: int, seed: int, skip: int = 0) -> Iterator[Split]:
        """Held-out images without end, each round in a new order that ``seed`` decides, from batch ``skip`` on."""
        orders, whole = np.random.default_rng(seed), len(split) // min(size, len(split))
        while self.apart:
            yield from split.shuffled(size, int(orders.integers(2**63)), rank_slice(), min(skip, whole))
            skip = max(0, skip - whole)

    def settle(self, net: nn.Module, epochs: int) -> int:
        """Before an epoch: batch norms in the options of choices whose weights are constants learn, others wait.

        Returns the epoch at which schedules begin, the end of all ``epochs`` while nothing is decided.
        """
        gates = self.method.gates() if self.method.freeze_norm_affine else {}
        for module in net.modules() if gates else ():
            if isinstance(module, Join):
                weights = gates[module.choice.name].weights
                norms = [norm for norm in module.ops.modules() if isinstance(norm, _BatchNorm)]
                for parameter in (p for norm in norms for p in norm.parameters(recurse=False)):
                    parameter.requires_grad_(weights is None or not weights.requires_grad)
        decided = self.method.architecture_fixed_at()
        return epochs if decided is None else decided

    def bilevel_step(self, loss: Tensor) -> None:
        """One step on the loss of held-out images; gradients of the weights are not even computed."""
        self.fabric.backward(loss, inputs=list(self.method.parameters()))
        self.step()

    def gates(self) -> Gates:
        """The running answer for a step of the weights; where architectures learn apart, no gradient comes of it."""
        gates = self.method.gates()
        if not self.apart:
            return gates
        return {n: g if g.weights is None else g._replace(weights=g.weights.detach()) for n, g in gates.items()}

    def run(self, net: nn.Module, own: bool = False) -> Gates:
        """Sets the running answer for a step of the weights and returns it; with ``own`` every process has another."""
        gates = [self.gates() for _ in range(world())][rank()] if own else self.gates()
        set_gates(net, gates)
        return gates

    def end_epoch(self, epoch: int, follower: Follower) -> bool:
        """Ends an epoch of the method; the network and its optimizer forget what the method has pruned."""
        done = self.method.end_epoch(epoch)
        if self.method.prunes and prune(follower.net, self.method.gates()):
            follower.follow()
        return done

    def step(self) -> None:
        """One step on the gradients at hand."""
        assert self.optimizer is not None
        average_gradients(self.method.parameters())
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def joint_step(self) -> None:
        """After a step of the weights: one on the gradients of the same backward pass, for a method that learns so."""
        if self.optimizer is not None and not self.apart:
            self.step()


class Follower:
    """The state of an optimizer of a network that may have forgotten weights, and is restored before it."""

    def __init__(self, optimizer: Optimizer, net: nn.Module) -> None:
        self.optimizer, self.net = optimizer, net
        self.state_dict = optimizer.state_dict

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what is known of the weights that are left."""
        self.follow()
        self.optimizer.load_state_dict(state)

    def follow(self) -> None:
        """Forgets the weights that the network has forgotten, and nothing of the others."""
        kept = {id(p) for p in self.net.parameters()}
        for group in self.optimizer.param_groups:
            group["params"] = [p for p in group["params"] if id(p) in kept]
        for gone in [p for p in self.optimizer.state if id(p) not in kept]:
            del self.optimizer.state[gone]
