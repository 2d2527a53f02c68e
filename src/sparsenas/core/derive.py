"""The plain network of an architecture: no choice and no gate is left in it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parameter import is_lazy

from sparsenas.core.arch import Arch
from sparsenas.core.choice import Picks
from sparsenas.core.gate import Gated, Gates, gated_modules, set_gates
from sparsenas.errors import UserError
from sparsenas.nn.bn_folding import Scaled, scale_output
from sparsenas.nn.clone import clone_sharing_parameters, deep_copy, shallow
from sparsenas.nn.hooks import has_hooks


class Derivable(nn.Module, ABC):
    """A module with a plain replacement for the gates that are set."""

    @abstractmethod
    def derived(self) -> nn.Module:
        """The plain replacement. It may share weights and submodules with this module, which ``derive`` copies."""

    def active_choices(self) -> Iterator[tuple[str, Picks]]:
        """The choices that have an effect under the gates that are set, by name, with the picks that have one."""
        for child in self.children():
            yield from active_choices(child)


def active_choices(module: nn.Module) -> Iterator[tuple[str, Picks]]:
    """The choices below ``module`` that have an effect, by name, with the picks that have one."""
    if isinstance(module, Derivable):
        yield from module.active_choices()
    elif isinstance(module, Gated):
        yield module.choice.name, module.gate.picks
    else:
        for child in module.children():
            yield from active_choices(child)


def derive(net: nn.Module, gates: Gates | Arch, share_weights: bool = False) -> nn.Module:
    """Returns the plain network that ``net`` runs under ``gates``, or as an architecture.

    It inherits the weights. Gate weights are folded into the layer before them where that is possible. Every batch norm
    gets affine parameters that learn; they start as (1, 0) if the supernet has none. With ``share_weights`` parameters
    are the supernet's own tensors, unless they are slices; batch norm statistics are always copies.
    Raises ``UserError`` when a user's own ``Gated`` module has no ``derived``, or for ``check_derivable``.
    """
    check_derivable(net)
    set_gates(net, gates.gates() if isinstance(gates, Arch) else gates)
    plain = shared_parts(net)
    if share_weights:
        return clone_sharing_parameters(plain)
    own = deep_copy(plain)
    for module in own.modules():
        if isinstance(module, _BatchNorm):
            module.requires_grad_()
    return own


def check_derivable(net: nn.Module) -> None:
    """Raises ``UserError`` for a module that would lose something in a derived network, or in one that is recalibrated.

    These are hooks on a module that is replaced, layers without a shape, and scripted batch norms.
    """
    for name, module in net.named_modules():
        what = f"choice {module.choice.name!r}" if isinstance(module, Gated) else type(module).__name__
        if isinstance(module, Derivable) and has_hooks(module):
            raise UserError(
                f"{name or 'network'} ({what}): expected no forward hook on a module that a derived network replaces; "
                "put the module into an nn.Sequential and the hook on that"
            )
        if any(is_lazy(parameter) for parameter in module.parameters(recurse=False)):
            raise UserError(
                f"{name} ({what}): expected a layer with a shape; run every option once on an example where the "
                "network is made, or give the shape"
            )
        if isinstance(module, torch.jit.ScriptModule) and "running_mean" in dict(module.named_buffers(recurse=False)):
            raise UserError(f"{name}: expected no scripted batch norm, since its statistics cannot be recalibrated")


class Replacements:
    """Makes plain replacements, and each of one layer only once for the same picks of the choices in the module.

    For gates without weights, and modules that read no gates but those of their own parts.
    """

    def __init__(self) -> None:
        self._gated: dict[nn.Module, list[Gated]] = {}
        self._made: dict[tuple[nn.Module, tuple[Picks, ...]], nn.Module] = {}

    def __call__(self, module: Derivable) -> nn.Module:
        """The replacement under the gates that are set."""
        gated = self._gated.get(module)
        if gated is None:
            gated = self._gated[module] = gated_modules(module)
        key = module, tuple(part.gate.picks for part in gated)
        plain = self._made.get(key) or module.derived()
        if not plain._modules:
            self._made[key] = plain
        return plain


def shared_parts(
    net: nn.Module,
    done: dict[nn.Module, nn.Module] | None = None,
    derived: Callable[[Derivable], nn.Module] = lambda module: module.derived(),
) -> nn.Module:
    """As ``derive`` under the gates that are set, without copying: modules without choices are used themselves.

    ``done`` is filled with the plain replacement of every module; ``derived`` makes that of one.
    """
    plain = _plain(net, {} if done is None else done, derived)
    left = [type(module).__name__ for module in plain.modules() if isinstance(module, Gated)]
    if left:
        raise UserError(f"derive: {left[0]} has a choice but no derived(); make it a Derivable, or put it inside one")
    return plain


def _plain(module: nn.Module, done: dict[nn.Module, nn.Module], derived: Callable[[Derivable], nn.Module]) -> nn.Module:
    """``module`` with every ``Derivable`` replaced; all weights and all other modules are shared."""
    if module not in done:
        if isinstance(module, Derivable):
            done[module] = _plain(derived(module), done, derived)
        elif isinstance(module, _BatchNorm) and not module.affine:
            done[module] = _with_affine(module)
        elif isinstance(module, Scaled):
            done[module] = scale_output(_plain(module.op, done, derived), module.factor)
        else:
            # Not named_children: it leaves out a module's second name.
            plain = {name: child and _plain(child, done, derived) for name, child in module._modules.items()}
            done[module] = _with_children(module, plain)
    return done[module]


def _with_children(module: nn.Module, children: dict[str, nn.Module | None]) -> nn.Module:
    if all(children[name] is child for name, child in module._modules.items()):
        return module
    copied = shallow(module)
    copied._modules = children
    return copied


def _with_affine(norm: _BatchNorm) -> _BatchNorm:
    like = torch.empty(0) if norm.running_mean is None else norm.running_mean
    copied = shallow(norm)
    assert isinstance(copied, _BatchNorm)
    copied.affine = True
    copied.weight = nn.Parameter(like.new_ones(norm.num_features))
    copied.bias = nn.Parameter(like.new_zeros(norm.num_features))
    return copied
