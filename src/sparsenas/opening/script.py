"""A Python file that makes the user's own network the found one, without this library."""

from __future__ import annotations

import inspect
from pprint import pformat
from typing import Any, NamedTuple

from sparsenas.opening.choices import Skipped
from sparsenas.opening.opened import OpenedNetwork

SCRIPT = '''"""The found network from your own {cls}, without sparsenas:

    from net import shrink
    net = shrink({code})  # built as you built the one that was opened

{weights}, beside this file, has its weights.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
{imported}from torch import Tensor, nn

SKIPPED = {skipped}
"""The blocks that are left out."""
SIZES = {sizes}
"""Attributes of modules that differ."""
KEPT = {kept}
"""What is kept of buffers that no file of weights has: dimensions and positions."""


{cls_skipped}

def shrink(net, weights=Path(__file__).with_name("{weights}")):
    """Cuts a network in place to the found one, loads its weights and returns it in eval mode."""
    state = {read}
    for path in SKIPPED:
        parent, _, name = path.rpartition(".")
        net.get_submodule(parent)._modules[name] = Skipped()
    for path, attributes in SIZES.items():
        for attribute, value in attributes.items():
            setattr(net.get_submodule(path), attribute, value)
    for name, cuts in KEPT.items():
        path, _, own = name.rpartition(".")
        buffers = net.get_submodule(path)._buffers
        for dim, positions in cuts:
            buffers[own] = buffers[own].index_select(dim, torch.tensor(positions))
    made = {{}}
    for name, tensor in state.items():
        path, _, own = name.rpartition(".")
        module = net.get_submodule(path)
        old = getattr(module, own)
        if old is None or old.shape != tensor.shape:
            fresh = torch.empty_like(tensor)
            if own in module._parameters:
                fresh = nn.Parameter(fresh, requires_grad=old is None or old.requires_grad)
                fresh = made.setdefault(name if old is None else id(old), fresh)
            setattr(module, own, fresh)
    net.load_state_dict(state)
    return net.eval()
'''


class WeightsFile(NamedTuple):
    """Where a script finds the weights, and how it reads them."""

    weights: str
    """Name of the file beside the script."""
    imported: str
    """Lines that import what reads it."""
    read: str


SAVED = WeightsFile("net.pt", "", 'torch.load(weights, map_location="cpu", weights_only=True)')
PUBLISHED = WeightsFile("model.safetensors", "from safetensors.torch import load_file\n", "load_file(weights)")


def script(opened: OpenedNetwork, source: WeightsFile = SAVED) -> str:
    """The file for the gates that are set: a function ``shrink`` of the user's network."""
    states = opened.states()
    skipped = opened.skipped()
    gone = tuple(f"{path}." for path in skipped)
    sizes: dict[str, dict[str, Any]] = {}
    for size in opened.sizes:
        value = size.value(states)
        if (
            not f"{size.path}.".startswith(gone)
            and getattr(opened.net.get_submodule(size.path), size.attribute) != value
        ):
            sizes.setdefault(size.path, {})[size.attribute] = value
    kept: dict[str, list[tuple[int, list[int]]]] = {}
    saved = opened.net.state_dict().keys()
    for cut in opened.cuts:
        positions = cut.positions.kept(states)
        if cut.name not in saved and positions is not None and not cut.name.startswith(gone):
            kept.setdefault(cut.name, []).append((cut.dim, positions.tolist()))
    cls = type(opened.net).__name__
    return SCRIPT.format(
        cls=cls,
        code=opened.code,
        cls_skipped=inspect.getsource(Skipped),
        skipped=_shown(skipped),
        sizes=_shown(sizes),
        kept=_shown(kept),
        **source._asdict(),
    )


def _shown(value: object) -> str:
    return pformat(value, width=116, sort_dicts=False, compact=True)
