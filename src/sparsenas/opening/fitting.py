"""Trained weights for a network of another number of classes and of input channels."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from sparsenas.opening.weights import check_weights

COLORS = 3
"""Input channels of a network that was trained on photographs."""


def load_fitting(net: nn.Module, found: Mapping[str, Tensor], classes: int, where: str) -> list[str]:
    """Loads weights of the same network for photographs of perhaps other classes; returns a line for each change.

    Layers whose outputs are the classes stay new where the weights have another number. The first convolution reads
    inputs of other channels than three by ``of_channels``. Raises ``UserError`` where other weights do not fit.
    """
    wanted, told = net.state_dict(), dict[str, str]()
    fitted = dict(found)
    for name, tensor in wanted.items():
        given, layer = found.get(name), name.rpartition(".")[0]
        if given is None or given.shape == tensor.shape:
            continue
        if tensor.ndim and tensor.shape[0] == classes and given.shape[1:] == tensor.shape[1:]:
            fitted[name] = tensor
            told[layer] = f"{layer}: a new layer of {classes} outputs, since the weights are those of {len(given)}"
        elif tensor.ndim > 2 and given.ndim == tensor.ndim and given.shape[1] == COLORS:
            fitted[name] = of_channels(given, tensor.shape[1])
            told[layer] = f"{layer}: reads {tensor.shape[1]} input channels by the weights of {COLORS}"
    check_weights(wanted, fitted, where)
    net.load_state_dict(fitted)
    return list(told.values())


def of_channels(weight: Tensor, channels: int) -> Tensor:
    """The weight (outputs, 3, ...) of a convolution for inputs of another number of channels.

    Each reads the mean of the three: where all channels of an input are the same image, the output is that of three.
    """
    return (weight.sum(1, keepdim=True) / channels).repeat_interleave(channels, 1)
