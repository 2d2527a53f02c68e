"""What the calls of modules gave in one run, for the next run of nearly the same network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from sparsenas.nn.hooks import Forward, replace_forward
from sparsenas.nn.tree import Tree, tensors


class InputDiffersError(Exception):
    """A module that should do as in the run before was called on something else."""


@dataclass
class Call:
    """One call of a module."""

    output: Tree = None
    versions: tuple[int, ...] | None = None
    """Those of the output's tensors, which count changes in place; ``None`` where no output is kept."""
    first: tuple[Tensor, ...] = ()
    """Its input for the first example."""
    inside: dict[tuple[str, int], Call] = field(default_factory=dict)
    """The calls that it made, by path, and by how often that module had been called before."""
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def unchanged(self) -> bool:
        """Whether the output is there as it was given."""
        return self.versions is not None and self.versions == _versions(self.output)

    def size(self) -> int:
        """Bytes of all outputs that are kept."""
        return _size(self.output) + sum(call.size() for call in self.inside.values())


class Tape:
    """Replays calls of the run before, and records those of this one.

    What is not on the tape is run, which is always right: so nothing is recorded beyond ``limit`` bytes, nor of a call
    that changed its input in place; and an output that was changed in place later is not replayed.

    Args:
        kept: the paths of the modules whose outputs are recorded.
        limit: bytes of the outputs.
    """

    def __init__(self, kept: Collection[str], limit: int) -> None:
        self.kept, self.limit = frozenset(kept), limit
        self.watched = self.kept | frozenset(_around(kept))
        """The paths of these modules and of those around them."""
        self.last = Call()
        """The run before."""

    @contextmanager
    def run(self, net: nn.Module, alike: Collection[str]) -> Iterator[None]:
        """Within it ``net``, which is called once, replays and records.

        ``InputDiffersError`` is raised where a module at one of the paths ``alike`` gets another input than before.
        """
        self.alike, self.used = frozenset(alike), 0
        whole = Call()
        self.stack: list[tuple[Call, Call]] = [(whole, self.last)]
        """The calls that have not ended, and the same ones of the run before."""
        watched = [(path, module) for path, module in net.named_modules() if path in self.watched]
        restore = [
            replace_forward(module, partial(self._watch, path))
            for path, module in watched
            if not isinstance(module, torch.jit.ScriptModule)
        ]
        try:
            yield
        finally:
            for end in restore:
                end()
        self.last = whole

    def _watch(self, path: str, forward: Forward) -> Forward:
        return lambda *args, **kwargs: self._called(path, forward, args, kwargs)

    def _called(self, path: str, forward: Forward, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        outer, before = self.stack[-1]
        key = path, outer.counts[path]
        outer.counts[path] += 1
        known = before.inside.get(key)
        call = Call(first=_first((args, kwargs)) if path in self.kept else ())
        if path in self.alike:
            if known is None or not all(map(torch.equal, call.first, known.first)):
                raise InputDiffersError
            if known.unchanged:
                outer.inside[key] = known
                self.used += known.size()
                return known.output
        outer.inside[key] = call
        self.stack.append((call, known or Call()))
        versions = _versions((args, kwargs))
        output = forward(*args, **kwargs)
        self.stack.pop()
        if path in self.kept and versions == _versions((args, kwargs)) and self.used + _size(output) <= self.limit:
            call.output, call.versions = output, _versions(output)
            self.used += _size(output)
        return output


def _versions(tree: Tree) -> tuple[int, ...]:
    return tuple(leaf._version for leaf in tensors(tree))


def _size(tree: Tree) -> int:
    return sum(leaf.untyped_storage().nbytes() for leaf in tensors(tree))


def _first(tree: Tree) -> tuple[Tensor, ...]:
    return tuple((leaf[:1] if leaf.dim() else leaf).clone() for leaf in tensors(tree))


def _around(paths: Collection[str]) -> Iterator[str]:
    for path in paths:
        while path := path.rpartition(".")[0]:
            yield path
