"""The fastest way to run candidates that is right for the very network at hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sparsenas.core.arch import Arch
from sparsenas.core.derive import check_derivable, derive
from sparsenas.core.gate import set_gates
from sparsenas.core.quant_choice import Bits
from sparsenas.distributed.collectives import all_gather
from sparsenas.errors import UserError
from sparsenas.nn.clone import deep_copy
from sparsenas.nn.tree import Tree, call_on_copy, device_of, tensors
from sparsenas.searching.eval_batches import EvalBatches
from sparsenas.searching.lru import Cache
from sparsenas.searching.prefix_sharing import PrefixSharing
from sparsenas.searching.reference import OneByOne, seeded
from sparsenas.searching.replay import OwnCode, Replaying
from sparsenas.searching.segments import segments_of
from sparsenas.searching.way import Way

BATCHES, EXAMPLES = 2, 4
"""The first batches, and examples of each, on which ways are compared."""
MEMORY = 2**28
TOLERANCE = {torch.double: 1e-6, torch.float: 1e-3}
"""Largest difference of two ways relative to the largest output."""

Outputs = dict[tuple[int, Arch], Tree]
Make = Callable[[nn.Module, EvalBatches, Cache, bool], Way]


class _Trial(NamedTuple):
    """The network and the batches on which ways are compared: copies, in double precision where it can be run so."""

    net: nn.Module
    batches: EvalBatches
    archs: list[Arch]
    expected: Outputs


def _sharing(net: nn.Module, batches: EvalBatches, cache: Cache, alone: bool) -> Way:
    # Rounding in front of a quantizer may tip an activation to its next level, which is more than rounding.
    folds = not any(isinstance(module, Bits) for module in net.modules())
    if isinstance(net, OwnCode):
        return Replaying(net, batches, cache.limit, folds, alone)
    return PrefixSharing(segments_of(net), batches, cache, folds, alone)


def _whole(net: nn.Module, batches: EvalBatches, cache: Cache, alone: bool) -> Way:
    return PrefixSharing([net], batches, cache, folds=False, alone=alone)


def _reference(net: nn.Module, batches: EvalBatches, cache: Cache, alone: bool) -> Way:
    return OneByOne(net, batches, alone)


WAYS: tuple[tuple[str, Make], ...] = (
    ("", _sharing),
    ("candidates share nothing and no batch norm is folded", _whole),
    ("candidates run one by one on copies of the whole supernet", _reference),
)
"""The fastest first; with what the user is told about it."""


@torch.no_grad()
def fastest_way(
    net: nn.Module, batches: EvalBatches, cache: Cache, archs: Sequence[Arch], say: Callable[[str], object]
) -> Way:
    """The first of ``WAYS`` whose outputs are the reference's for some of the candidates, on a few examples.

    Raises ``UserError`` where the derived network differs from the supernet's path, so that no way is right.
    """
    check_derivable(net)
    trial = _trial(net, batches.first(BATCHES, EXAMPLES), _some(archs))
    _check_derived(trial)
    right = (number for number, (_, make) in enumerate(WAYS[:-1]) if _agrees(make, trial))
    mine = len(WAYS) - 1 if _keeps_state(trial) else next(right, len(WAYS) - 1)
    device = device_of(batches.val_batches[0][0])
    told, make = WAYS[int(all_gather(torch.tensor([mine], device=device)).max())]
    if told:
        say(f"scores: {told}, which takes longer, since with this network scores would be wrong otherwise")
    return make(net, batches, cache, False)


def _some(archs: Sequence[Arch]) -> list[Arch]:
    """The first candidate, the one that shares its longest prefix, and the last one."""
    first, rest = archs[0], archs[1:]

    def shared(arch: Arch) -> int:
        return len(list(takewhile(lambda name: arch[name] == first[name], arch)))

    return list(dict.fromkeys([first, *sorted(rest, key=shared)[-1:], *rest[-1:]]))


def _trial(net: nn.Module, batches: EvalBatches, archs: list[Arch]) -> _Trial:
    """Double precision tells mistakes from rounding; not every network and device can take it."""
    try:
        own, exact = deep_copy(net).double(), batches.to(torch.double)
        return _Trial(own, exact, archs, _outputs(OneByOne(own, exact, alone=True), archs))
    except UserError:
        raise
    except Exception:
        own = deep_copy(net)
        return _Trial(own, batches, archs, _outputs(OneByOne(own, batches, alone=True), archs))


def _outputs(way: Way, archs: Sequence[Arch]) -> Outputs:
    return {(batch, archs[index]): output for batch, index, output in way.outputs(archs, lambda: None)}


def _agrees(make: Make, trial: _Trial) -> bool:
    """Whether a way gives the reference's outputs; what it keeps of the first candidate is used for the others."""
    try:
        with seeded(trial.net):
            way = make(trial.net, trial.batches, Cache(MEMORY), True)
            found = [_outputs(way, archs) for archs in (trial.archs[:1], trial.archs[1:], trial.archs) if archs]
    except UserError:
        raise
    except Exception:  # a network named segments that do not fit each other, say
        return False
    return all(same(output, trial.expected[key]) for outputs in found for key, output in outputs.items())


def same(found: Tree, expected: Tree) -> bool:
    """Whether outputs are equal but for rounding."""
    pairs = list(zip(tensors(found), tensors(expected), strict=False))
    return len(tensors(found)) == len(tensors(expected)) and all(_close(a, b) for a, b in pairs)


def _close(a: Tensor, b: Tensor) -> bool:
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if not a.is_floating_point():
        return torch.equal(a, b)
    finite = b[b.isfinite()].abs()
    share = TOLERANCE.get(b.dtype, TOLERANCE[torch.float])
    return torch.allclose(a, b, share, share * float(finite.max()) if len(finite) else 0.0, equal_nan=True)


def _check_derived(trial: _Trial) -> None:
    """Raises ``UserError`` unless the derived network does what the supernet's path does."""
    x, arch = trial.batches.val_batches[0][0], trial.archs[0]
    own, found, told = deep_copy(trial.net).eval(), None, "gives other outputs"
    try:
        with seeded(own):
            found = call_on_copy(derive(own, arch.gates()).eval(), x)
    except UserError:
        raise
    except Exception as error:
        told = f"does not run ({type(error).__name__}: {error})".replace("\n", " ")
    set_gates(own, arch.gates())
    with seeded(own):
        expected = call_on_copy(own, x)
    if not same(found, expected):
        raise UserError(
            f"expected a supernet whose networks can be taken out of it; the one of {arch.text()} {told}: look for "
            "layers that run from lists or from hooks; sparsenas.testing.check_space tells more"
        )


def _keeps_state(trial: _Trial) -> bool:
    """Whether running the network in eval mode changes it, so that outputs may depend on what ran before."""
    own = deep_copy(trial.net).eval()
    set_gates(own, trial.archs[0].gates())
    before = _state(own)
    call_on_copy(own, trial.batches.val_batches[0][0])
    return any(not _equal(a, b) for a, b in zip(before, _state(own), strict=False))


def _state(net: nn.Module) -> list[Tensor]:
    """All buffers, and the numbers that modules hold."""
    numbers = [v for m in net.modules() for v in vars(m).values() if isinstance(v, int | float)]
    return [*(buffer.clone() for buffer in net.buffers()), torch.tensor(numbers, dtype=torch.double)]


def _equal(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and bool(((a == b) | ((a != a) & (b != b))).all())
