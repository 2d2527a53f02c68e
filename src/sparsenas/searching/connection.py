"""Connection: whether the outputs of an architecture depend on its inputs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sparsenas.core.arch import Arch
from sparsenas.core.gate import set_gates
from sparsenas.nn.tree import Tree, call, map_tensors, tensors


class Connection:
    """Tells of each architecture whether its outputs depend on its inputs; where they do not, it can learn nothing.

    An example is a cell whose output reads only edges of the operation ``none``. The network runs twice, on a batch of
    inputs and on zeros, with the same random numbers; equal outputs mean that nothing comes through.
    """

    def __init__(self, net: nn.Module, inputs: Tree) -> None:
        """``net`` is a supernet with fresh weights; in training mode its norms keep small signals from vanishing."""
        self.net, self.inputs = net.train(), inputs

    @torch.no_grad()
    def __call__(self, arch: Arch) -> bool:
        """Whether ``arch`` can learn from its inputs."""
        set_gates(self.net, arch.gates())
        seen, blank = self._outputs(self.inputs), self._outputs(map_tensors(torch.zeros_like, self.inputs))
        return not all(map(torch.equal, seen, blank))

    def _outputs(self, inputs: Tree) -> list[Tensor]:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return tensors(call(self.net, inputs))
