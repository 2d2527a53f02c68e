"""What the names of options mean that several built-in spaces share."""

from __future__ import annotations

import re

from sparsenas.reporting.loading import LoadedRun

MEANINGS = {
    r"conv\d": "conv3: convolution of kernel 3",
    r"mb\d": "mb5: inverted residual (mobile bottleneck) of kernel 5",
    r"mb\de\d": "mb5e6: inverted residual (mobile bottleneck) of kernel 5 and expansion 6",
    r"k\d_e\d": "k5_e6: inverted residual (mobile bottleneck) of kernel 5 and expansion 6",
    r"shuffle\d": "shuffle5: unit with a channel shuffle and a depthwise convolution of kernel 5",
    r"\d\.\d+x": "0.5x: half as many channels inside the block as usual",
    r"w\da\d": "w4a2: weights of 4 bits, activations of 2 bits",
    r"skip|identity": "skip, identity: no operation, where the shape is kept",
}
"""By the pattern of a whole name: an example with its meaning."""


def meanings(run: LoadedRun) -> list[str]:
    """Of the names in a built-in space; none for others, whose names are their author's."""
    if run.space is None or ":" in run.given("space"):
        return []
    names = {option for choice in run.space.choices for option in choice.options}
    return [told for pattern, told in MEANINGS.items() if any(re.fullmatch(pattern, name) for name in names)]
