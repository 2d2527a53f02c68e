"""Networks of torchvision."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import nn

from sparsenas.data.preprocessing import Preprocessing
from sparsenas.opening.fitting import COLORS, of_channels
from sparsenas.spaces.bridge import Bridge, near, words


class Torchvision(Bridge):
    """A classifier of torchvision, by its name there, such as ``mobilenet_v2``."""

    prefix: ClassVar[str] = "torchvision"
    package: ClassVar[str] = "torchvision"
    has: ClassVar[str] = "models"
    reserved: ClassVar[frozenset[str]] = frozenset({"weights", "weights_backbone", "progress"})

    def network(self, args: Mapping[str, Any], classes: int, channels: int) -> nn.Module:
        """The network for a number of classes and of input channels, without trained weights."""
        from torchvision.models import get_model

        net: nn.Module = get_model(self.name, weights=None, **{"num_classes": classes, **args})
        return net if channels == COLORS else _reading(net, channels)

    def meant(self) -> list[str]:
        """Names near to this one, where torchvision does not list it among its classifiers."""
        from torchvision import models

        return near(self.name, models.list_models(module=models))

    def code(self, args: Mapping[str, Any], classes: int, channels: int) -> str:
        """The expression that builds the network without sparsenas, for three input channels."""
        return f"torchvision.models.get_model({self.name!r}, {words({'num_classes': classes, **args})})"

    def trained(self, args: Mapping[str, Any]) -> nn.Module:
        """The network as torchvision has it, with its best weights."""
        from torchvision.models import get_model

        net: nn.Module = get_model(self.name, weights="DEFAULT", **args)
        return net

    def asked(self, args: Mapping[str, Any]) -> Preprocessing:
        """The images that the best weights were trained on."""
        from torchvision.models import get_model_weights

        found = vars(next(iter(get_model_weights(self.name))).transforms())
        size = args.get("image_size", found["crop_size"][0])
        return Preprocessing((size, size), tuple(found["mean"]), tuple(found["std"]))


def _reading(net: nn.Module, channels: int) -> nn.Module:
    """The network with a first convolution for another number of channels."""
    first = next(module for module in net.modules() if isinstance(module, nn.Conv2d))
    first.weight = nn.Parameter(of_channels(first.weight.detach(), channels))
    first.in_channels = channels
    return net
