"""Operations that a search prunes, with their weights."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from torch import Tensor, nn

from sparsenas.errors import UserError


class PrunedOp(nn.Module):
    """Stands in for an operation that was pruned with its weights."""

    def forward(self, x: Tensor) -> Tensor:
        raise UserError("this architecture has an operation that the search pruned, so there are no weights for it")


def prune_ops(ops: nn.ModuleList, kept: Collection[int]) -> None:
    """Replaces the operations that have weights, except the ``kept`` ones."""
    for i, op in enumerate(ops):
        if i not in kept and any(True for _ in op.parameters()):
            ops[i] = PrunedOp()


def prune_unknown(module: nn.Module, state: Mapping[str, object], prefix: str, *_: object) -> None:
    """Before a module loads a state: prunes the operations in its list ``ops`` that are not in the state."""
    ops = module.get_submodule("ops")
    assert isinstance(ops, nn.ModuleList)
    start = f"{prefix}ops."
    known = {name.removeprefix(start).partition(".")[0] for name in state if name.startswith(start)}
    prune_ops(ops, [i for i in range(len(ops)) if str(i) in known])
