"""Networks of timm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import nn

from sparsenas.data.preprocessing import Preprocessing
from sparsenas.spaces.bridge import Bridge, near, words


class Timm(Bridge):
    """A network of timm, by its name there, such as ``resnet18.a1_in1k``."""

    prefix: ClassVar[str] = "timm"
    package: ClassVar[str] = "timm"
    has: ClassVar[str] = "create_model"
    reserved: ClassVar[frozenset[str]] = frozenset(
        {"pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir"}
    )

    def network(self, args: Mapping[str, Any], classes: int, channels: int) -> nn.Module:
        """The network for a number of classes and of input channels, without trained weights."""
        return self._create(**_arguments(args, classes, channels))

    def meant(self) -> list[str]:
        """Names near to this one, where timm does not list it."""
        import timm

        return near(self.name.partition(".")[0], timm.list_models())

    def code(self, args: Mapping[str, Any], classes: int, channels: int) -> str:
        """The expression that builds the network without sparsenas."""
        return f"timm.create_model({self.name!r}, {words(_arguments(args, classes, channels))})"

    def trained(self, args: Mapping[str, Any]) -> nn.Module:
        """The network as timm has it, with its weights."""
        return self._create(pretrained=True, **args)

    def asked(self, args: Mapping[str, Any]) -> Preprocessing:
        """The images that the network's configuration asks for."""
        from timm.data import resolve_model_data_config

        with torch.device("meta"):
            found = resolve_model_data_config(self._create(**args))
        size = args.get("img_size", found["input_size"][1:])
        height, width = (size, size) if isinstance(size, int) else size
        return Preprocessing((height, width), tuple(found["mean"]), tuple(found["std"]))

    def _create(self, **arguments: Any) -> nn.Module:
        import timm

        net: nn.Module = timm.create_model(self.name, **arguments)
        return net


def _arguments(args: Mapping[str, Any], classes: int, channels: int) -> dict[str, Any]:
    return {"num_classes": classes, "in_chans": channels, **args}
