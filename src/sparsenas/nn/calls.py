"""The order in which a network calls its modules."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from functools import partial
from typing import Any

import torch
from torch import nn

from sparsenas.nn.clone import clone_sharing_parameters
from sparsenas.nn.hooks import Forward, replace_forward
from sparsenas.nn.tree import Tree, call_on_copy


class CallOrder:
    """When each module of a network is first called, and when its last call has ended, in a run on an example.

    Modules are named by their paths; one that a network holds twice has the first of its paths.
    """

    def __init__(self, net: nn.Module, example: Tree) -> None:
        """Runs a copy of ``net`` in eval mode."""
        own = clone_sharing_parameters(net).eval()
        first = {module: path for path, module in own.named_modules()}
        self.names: dict[str, list[str]] = defaultdict(list)
        """All paths of a module, by the first one."""
        for path, module in own.named_modules(remove_duplicate=False):
            self.names[first[module]].append(path)
        self._begins: dict[str, int] = {}
        self._ends: dict[str, int] = {}
        self.end = 0
        """The time after the run."""
        for module, path in first.items():
            if not isinstance(module, torch.jit.ScriptModule):
                replace_forward(module, partial(self._timed, path))
        with torch.no_grad():
            call_on_copy(own, example)

    def called(self, path: str) -> str:
        """The module, or else the next one around it, that is called: who uses its weights may be that one."""
        path = next((first for first, names in self.names.items() if path in names), "")
        while path and path not in self._begins:
            path = path.rpartition(".")[0]
        return path

    def first(self, paths: Collection[str]) -> int:
        """When the first of these modules, which are called, is first called; after all if there is none."""
        return min((self._begins[path] for path in paths), default=self.end)

    def done_before(self, paths: Collection[str]) -> list[str]:
        """The outermost modules all of whose calls end before the first call of any of these."""
        time = self.first(paths)
        return _outermost(path for path, end in self._ends.items() if end < time)

    def _timed(self, path: str, forward: Forward) -> Forward:
        def run(*args: Any, **kwargs: Any) -> Any:
            self._begins.setdefault(path, self.end)
            self.end += 1
            output = forward(*args, **kwargs)
            self._ends[path] = self.end
            self.end += 1
            return output

        return run


def _outermost(paths: Iterable[str]) -> list[str]:
    found: list[str] = []
    for path in sorted(paths, key=lambda path: path.count(".")):
        if not any(path.startswith(f"{outer}.") for outer in found):
            found.append(path)
    return found


def found_at(net: nn.Module, path: str) -> nn.Module | None:
    """The module at a path; ``None`` where there is none."""
    module: nn.Module | None = net
    for name in path.split("."):
        module = None if module is None else module._modules.get(name)
    return module


def put_at(net: nn.Module, path: str, module: nn.Module) -> None:
    """Puts a module in the place of the one at a path, if there is one."""
    parent, _, name = path.rpartition(".")
    holder = found_at(net, parent) if parent else net
    if holder is not None and name in holder._modules:
        holder._modules[name] = module
