"""From a network with open questions and their answers to an ordinary network."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterator

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from sparsenas.choice import Arch, Gated, Gates, Picks, set_gates
from sparsenas.errors import UserError


class Derivable(nn.Module, ABC):
    """A module that knows the plain module it stands for under the running answer."""

    @abstractmethod
    def derived(self) -> nn.Module:
        """The plain replacement. It may share weights and submodules with this module; ``derive`` copies."""

    def answers(self) -> Iterator[tuple[str, Picks]]:
        """The choices that matter under the running answer, by name, with the picks that matter."""
        for child in self.children():
            yield from answers(child)


def answers(module: nn.Module) -> Iterator[tuple[str, Picks]]:
    """The choices below ``module`` that matter under the running answer, with the picks that matter."""
    if isinstance(module, Derivable):
        yield from module.answers()
    elif isinstance(module, Gated):
        yield module.choice.name, module.gate.picks
    else:
        for child in module.children():
            yield from answers(child)


def derive(net: nn.Module, gates: Gates, share_weights: bool = False) -> nn.Module:
    """Returns the ordinary network that ``net`` is under ``gates``: no choice and no gate is left in it.

    Weights are inherited; edge weights are folded into the layer before them where that is possible. Every batch norm
    gets its affine parameters, as (1, 0) where the supernet had none. With ``share_weights`` parameters are the
    supernet's own tensors wherever they are used whole; batch-norm statistics are always copies.
    Raises ``UserError`` when a user's own ``Gated`` module has no ``derived``.
    """
    set_gates(net, gates)
    skeleton = _plain(net, {})
    left = [type(module).__name__ for module in skeleton.modules() if isinstance(module, Gated)]
    if left:
        raise UserError(f"derive: {left[0]} reads a choice but is not inside a Derivable; give it derived()")
    shared = {id(p): p for p in skeleton.parameters()} if share_weights else {}
    return copy.deepcopy(skeleton, shared)


def _plain(module: nn.Module, done: dict[nn.Module, nn.Module]) -> nn.Module:
    """``module`` with every mechanism replaced; shares all that has none, and all weights."""
    if module not in done:
        if isinstance(module, Derivable):
            done[module] = _plain(module.derived(), done)
        elif isinstance(module, _BatchNorm) and not module.affine:
            done[module] = _with_affine(module)
        else:
            done[module] = _with_children(module, {n: _plain(c, done) for n, c in module.named_children()})
    return done[module]


def _with_children(module: nn.Module, children: dict[str, nn.Module]) -> nn.Module:
    if all(children[name] is child for name, child in module.named_children()):
        return module
    twin = copy.copy(module)
    twin._modules = {name: children.get(name) for name in module._modules}
    return twin


def _with_affine(norm: _BatchNorm) -> _BatchNorm:
    device = None if norm.running_mean is None else norm.running_mean.device
    twin = type(norm)(norm.num_features, norm.eps, norm.momentum, True, norm.track_running_stats, device=device)
    twin.running_mean, twin.running_var = norm.running_mean, norm.running_var
    twin.num_batches_tracked = norm.num_batches_tracked
    return twin.train(norm.training)


def tidy(net: nn.Module, arch: Arch) -> Arch:
    """The canonical architecture of the same network: answers that nothing reads are set to the first options.

    Picks of dead sources are dropped where the choice's bounds allow. Idempotent; leaves ``net`` answering ``arch``.
    """
    set_gates(net, arch.gates())
    live: defaultdict[str, set[int]] = defaultdict(set)
    for name, picks in answers(net):
        live[name].update(picks)
    tidied: dict[str, Picks] = {}
    for name, choice in arch.choices.items():
        dead = [pick for pick in arch[name] if pick not in live[name]]
        kept = sorted([*live[name], *dead[: max(0, choice.least - len(live[name]))]])
        tidied[name] = tuple(kept) if live[name] else choice.first()
    return arch.replace(tidied)


