"""Operations that are let go of while a network is searched."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from torch import Tensor, nn

from sparsenas.errors import UserError


class PrunedOp(nn.Module):
    """In the place of an operation that is pruned for good, whose weights are no longer needed."""

    def forward(self, x: Tensor) -> Tensor:
        raise UserError("an operation of this architecture was pruned in the search, so its weights are gone")


def prune_ops(ops: nn.ModuleList, kept: Collection[int]) -> None:
    """Replaces the operations that have weights, but for the ``kept`` ones."""
    for i, op in enumerate(ops):
        if i not in kept and any(True for _ in op.parameters()):
            ops[i] = PrunedOp()


def prune_unknown(module: nn.Module, state: Mapping[str, object], prefix: str, *_: object) -> None:
    """Before a module loads a state: lets go of the operations in its list ``ops`` of which the state has nothing."""
    ops = module.get_submodule("ops")
    assert isinstance(ops, nn.ModuleList)
    start = f"{prefix}ops."
    known = {name.removeprefix(start).partition(".")[0] for name in state if name.startswith(start)}
    prune_ops(ops, [i for i in range(len(ops)) if str(i) in known])
