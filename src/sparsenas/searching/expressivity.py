"""Expressivity: how many directions the features of an untrained network use (AZ-NAS; Lee and Ham, CVPR 2024)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from sparsenas.core.arch import Arch
from sparsenas.core.gate import set_gates
from sparsenas.errors import UserError
from sparsenas.nn.tree import Tree, call
from sparsenas.searching.segments import segments_of

SMALL = 1e-8
"""Keeps the logarithm of a share finite."""


def entropy(features: Tensor) -> float:
    """The entropy of the spectrum of features of shape (examples, channels, *positions), as in AZ-NAS.

    The spectrum is that of the covariance of the channels over examples and positions, divided by its sum. The entropy
    is 0 where one direction has all variance, and the logarithm of the number of channels where all have the same.
    """
    rows = features.flatten(2).transpose(1, 2).flatten(0, 1).double()
    rows = rows - rows.mean(0)
    spectrum = torch.linalg.eigvalsh(rows.T @ rows / len(rows)).clamp(min=0)
    if float(spectrum.sum()) == 0:
        return 0.0
    shares = spectrum / spectrum.sum()
    return float(-(shares * (shares + SMALL).log()).sum())


class Expressivity:
    """The expressivity of candidates on one untrained supernet and one batch of inputs; each is computed once.

    It is the sum of the entropies of the features after each segment with choices, and after the last one that has
    features of channels and positions. The weights of matrices are drawn anew (Kaiming), from torch's generator.
    """

    def __init__(self, net: nn.Module, inputs: Tree) -> None:
        """Raises ``UserError`` for a network without such segments."""
        self.net, self.inputs, self.segments = net.train(), inputs, segments_of(net)
        if len(self.segments) < 2:
            raise UserError(
                "--score.prior: expected 0, since the network is no row of segments whose features can be looked at"
            )
        for weight in net.parameters():
            if weight.dim() > 1:
                nn.init.kaiming_normal_(weight)
        self._known: dict[Arch, float] = {}

    def __call__(self, archs: Sequence[Arch]) -> list[float]:
        """The expressivity of each candidate; more is better."""
        for arch in archs:
            if arch not in self._known:
                self._known[arch] = sum(map(entropy, self._features(arch)))
        return [self._known[arch] for arch in archs]

    @torch.no_grad()
    def _features(self, arch: Arch) -> Iterator[Tensor]:
        set_gates(self.net, arch.gates())
        x = self.inputs
        for segment in self.segments:
            x = call(segment, x)
            if isinstance(x, Tensor) and x.dim() > 2:
                yield x
