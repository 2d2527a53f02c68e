"""One representative of all architectures that build the same network."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from torch import nn

from sparsenas.core.arch import Arch
from sparsenas.core.choice import Choice, Picks
from sparsenas.core.derive import active_choices
from sparsenas.core.gate import Gated, gated_modules, set_gates_of
from sparsenas.nn.blocks import Concat, Sum
from sparsenas.nn.clone import on_meta


@runtime_checkable
class Canonical(Protocol):
    """A space that maps architectures of equal function to one of them, by a rule of its own."""

    def canonical(self, arch: Arch) -> Arch:
        """The representative of all architectures with the same function, which stands for itself too."""
        ...


def representative(net: nn.Module, arch: Arch) -> Arch:
    """One architecture for all that are the same when trained: by the rule of the space, else by ``canonicalize``.

    By the rule of a space they may differ with inherited weights, since each place of a supernet has its own.
    """
    return net.canonical(arch) if isinstance(net, Canonical) else canonicalize(net, arch)


class Canonicalizer:
    """Choices and wiring of a network, without weights: the architectures that stand for others, many times as fast."""

    def __init__(self, net: nn.Module) -> None:
        self.net = _skeleton(net)
        self._gated = gated_modules(self.net)
        self.has_a_rule = isinstance(self.net, Canonical)
        """Whether the space has a rule of its own."""

    def representative(self, arch: Arch) -> Arch:
        """As the function ``representative``."""
        return self.net.canonical(arch) if isinstance(self.net, Canonical) else self.canonicalize(arch)

    def canonicalize(self, arch: Arch) -> Arch:
        """As the function ``canonicalize``."""
        return _canonicalized(self.net, self._gated, arch)


def canonicalize(net: nn.Module, arch: Arch) -> Arch:
    """The canonical architecture of the same network: choices without effect keep their first options.

    Picks without effect are dropped where the choice's bounds allow it. Idempotent. Sets the gates of ``net`` to
    ``arch``. Two architectures of one network get the same canonical one, with one exception: a choice that must keep
    something (``least`` of 1) may keep a node that may be empty (``least`` of 0); then picks without effect may differ.
    """
    return _canonicalized(net, gated_modules(net), arch)


def _canonicalized(net: nn.Module, gated: Sequence[Gated], arch: Arch) -> Arch:
    live = _live(net, gated, arch)
    canonical = arch.replace({name: _canonical(choice, arch[name], live) for name, choice in arch.choices.items()})
    if canonical == arch:
        return arch
    if _live(net, gated, canonical) != live:
        canonical = _replaced_one_by_one(net, gated, arch, canonical)
    set_gates_of(gated, arch.gates())
    return canonical


def _skeleton(net: nn.Module) -> nn.Module:
    """A copy of ``net``: choices and wiring, without weights."""
    small = on_meta(net)
    for module in list(small.modules()):
        for name, child in module.named_children():
            has_choice = any(isinstance(part, Gated) for part in child.modules())
            if not has_choice and not isinstance(child, nn.ModuleList | Sum | Concat):
                module._modules[name] = nn.Identity()
    return small


def _live(net: nn.Module, gated: Sequence[Gated], arch: Arch) -> dict[str, set[int]]:
    """The picks that have an effect, by choice."""
    set_gates_of(gated, arch.gates())
    live: defaultdict[str, set[int]] = defaultdict(set)
    for name, picks in active_choices(net):
        live[name].update(picks)
    return live


def _canonical(choice: Choice, picks: Picks, live: dict[str, set[int]]) -> Picks:
    if choice.name not in live:
        return choice.first()
    kept = live[choice.name]
    dead = [pick for pick in picks if pick not in kept]
    return tuple(sorted([*kept, *dead[: max(0, choice.least - len(kept))]]))


def _replaced_one_by_one(net: nn.Module, gated: Sequence[Gated], arch: Arch, canonical: Arch) -> Arch:
    """``arch`` with those picks of ``canonical`` that do not change the network; others would feed an empty node."""
    live = _live(net, gated, arch)
    while True:
        before = arch
        for name in arch.choices:
            candidate = arch.replace({name: canonical[name]})
            arch = candidate if _live(net, gated, candidate) == live else arch
        if arch == before:
            return arch
