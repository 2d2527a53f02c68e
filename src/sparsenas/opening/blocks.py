"""Residual blocks, which may be left out."""

from __future__ import annotations

from collections import defaultdict

from torch import Tensor, fx, nn

from sparsenas.opening.capture import Captured, owners, shape
from sparsenas.opening.flow import Flow, name_of

PASSING = {
    *("add", "add_", "relu", "relu_", "dropout", "gelu", "relu6", "relu6_"),
    *("clone", "contiguous", "view", "reshape", "to"),
}
"""Operations through which a residual path may lead: they keep the order of the elements."""


def residual_blocks(flow: Flow, net: nn.Module) -> list[str]:
    """The paths of the innermost modules that add to one of their inputs; without them the network runs as well."""
    runs = _runs(flow.captured)
    found: list[str] = []
    for path in sorted(runs, key=lambda path: -path.count(".")):
        module = net.get_submodule(path)
        inner = any(other.startswith(f"{path}.") for other in found)
        if not inner and any(True for _ in module.parameters()) and _residual(flow, path, runs[path]):
            found.append(path)
    order = {path: i for i, (path, _) in enumerate(net.named_modules())}
    return sorted(found, key=lambda path: order[path])


def _runs(captured: Captured) -> dict[str, list[fx.Node]]:
    """The operations of each module, by its path, without the network itself."""
    runs: defaultdict[str, list[fx.Node]] = defaultdict(list)
    for node in captured.graph.nodes:
        for path in set(owners(node)) - {""}:
            runs[path].append(node)
    return runs


def _residual(flow: Flow, path: str, nodes: list[fx.Node]) -> bool:
    inside = set(nodes)
    inputs = {part for node in nodes for part in node.all_input_nodes if part not in inside}
    inputs = {part for part in inputs if part.name not in flow.captured.parameters}
    exits = [node for node in nodes if any(user not in inside for user in node.users)]
    if len(exits) != 1 or not shape(exits[0]) or not isinstance(flow.env[exits[0]], Tensor):
        return False
    alike = [part for part in inputs if "val" in part.meta and shape(part) == shape(exits[0])]
    entries = [part for part in alike if isinstance(flow.env[part], Tensor) and _passes(part, exits[0], inside)]
    return len(entries) == 1 and (len(inputs) == 1 or _is_first(flow, path, shape(exits[0])))


def _is_first(flow: Flow, path: str, size: tuple[int, ...]) -> bool:
    """Whether the first tensor that a module is called with has this shape, and no other one, as a mask has not."""
    given = flow.captured.calls.given.get(path, [])
    return given[:1] == [size] and given.count(size) == 1


def _passes(entry: fx.Node, exit_: fx.Node, inside: set[fx.Node]) -> bool:
    """Whether a path of additions leads from one node to the other."""
    reached, added = {entry}, False
    for node in sorted(inside):
        if any(part in reached for part in node.all_input_nodes) and name_of(node) in PASSING:
            reached.add(node)
            added |= name_of(node).startswith("add")
    return added and exit_ in reached
