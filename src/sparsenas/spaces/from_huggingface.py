"""Image classifiers of Hugging Face transformers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor, nn

from sparsenas.data.preprocessing import Preprocessing
from sparsenas.spaces.bridge import Bridge


class HuggingFace(Bridge):
    """An image classifier of the Hugging Face hub, by its name there, or from a folder of ``save_pretrained``."""

    prefix: ClassVar[str] = "hf"
    reserved: ClassVar[frozenset[str]] = frozenset({"trust_remote_code", "auto_map", "config", "num_channels"})

    def network(self, args: Mapping[str, Any], classes: int, channels: int) -> nn.Module:
        """The network for a number of classes and of input channels, without trained weights."""
        from transformers import AutoModelForImageClassification

        config = self._config({"num_labels": classes, "num_channels": channels, **args})
        return giving_logits(AutoModelForImageClassification.from_config(config, trust_remote_code=False))

    def trained(self, args: Mapping[str, Any]) -> nn.Module:
        """The network with the weights of the hub or the folder."""
        from transformers import AutoModelForImageClassification

        load = AutoModelForImageClassification.from_pretrained
        net: nn.Module = load(self.name, config=self._config(args), trust_remote_code=False)
        return net

    def asked(self, args: Mapping[str, Any]) -> Preprocessing:
        """The images of the image processor beside the weights; the size of the configuration where there is none."""
        from transformers.image_processing_base import ImageProcessingMixin

        side = getattr(self._config(args), "image_size", None)
        try:
            found, _ = ImageProcessingMixin.get_image_processor_dict(self.name)
        except OSError:  # no such file
            found = {}
        size = _sides(args.get("image_size") or found.get("crop_size") or found.get("size") or side)
        if not found.get("do_normalize", True):
            found = {"image_mean": (0.0,) * 3, "image_std": (1.0,) * 3}
        mean, std = found.get("image_mean"), found.get("image_std")
        return Preprocessing(size, None if mean is None else tuple(mean), None if std is None else tuple(std))

    def _config(self, args: Mapping[str, Any]) -> Any:
        from transformers import AutoConfig

        return AutoConfig.from_pretrained(self.name, trust_remote_code=False, **args)


def _sides(size: Any) -> tuple[int, int] | None:
    """Height and width, in any of the forms of image processors."""
    if isinstance(size, Mapping):
        edge = size.get("shortest_edge")
        return (size["height"], size["width"]) if edge is None else (edge, edge)
    if size is None or isinstance(size, int):
        return None if size is None else (size, size)
    return size[0], size[1]


def giving_logits(net: nn.Module) -> nn.Module:
    """The same network with logits as its only output: its class becomes a subclass of the same name."""
    base = type(net)

    def forward(self: nn.Module, pixel_values: Tensor) -> Tensor:
        logits: Tensor = base.forward(self, pixel_values=pixel_values).logits
        return logits

    net.__class__ = type(base.__name__, (base,), {"forward": forward, "__module__": base.__module__})
    return net
