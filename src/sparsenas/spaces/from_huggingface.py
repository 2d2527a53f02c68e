"""Image classifiers of Hugging Face transformers."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor, nn

from sparsenas.data.preprocessing import Preprocessing
from sparsenas.spaces.bridge import Bridge, near, words

PROCESSOR = "preprocessor_config.json"
"""Says what images a network takes; a folder may lack it."""


class HuggingFace(Bridge):
    """An image classifier of the Hugging Face hub, by its name there, or from a folder of ``save_pretrained``."""

    prefix: ClassVar[str] = "hf"
    package: ClassVar[str] = "transformers"
    has: ClassVar[str] = "AutoModelForImageClassification"
    reserved: ClassVar[frozenset[str]] = frozenset(
        {"trust_remote_code", "auto_map", "config", "num_channels", "attn_implementation", "experts_implementation"}
        | {"_attn_implementation", "_experts_implementation"}
    )

    @classmethod
    def canonical(cls, name: str) -> str:
        """The name on the hub, or the whole path of a folder."""
        return os.path.abspath(name) if os.path.isdir(name) else name

    def meant(self) -> list[str]:
        """Folders with names near to that of a folder that is none."""
        path = Path(self.name)
        folders = [one.name for one in path.parent.iterdir() if one.is_dir()] if path.parent.is_dir() else []
        return near(path.name, folders)

    def code(self, args: Mapping[str, Any], classes: int, channels: int) -> str:
        """The expression that builds the network without sparsenas; its output has ``logits``."""
        given = words(_arguments(args, classes, channels))
        return f"AutoModelForImageClassification.from_config(AutoConfig.from_pretrained({self.name!r}, {given}))"

    def network(self, args: Mapping[str, Any], classes: int, channels: int) -> nn.Module:
        """The network for a number of classes and of input channels, without trained weights."""
        from transformers import AutoModelForImageClassification

        config = self._config(_arguments(args, classes, channels))
        net: nn.Module = AutoModelForImageClassification.from_config(config, trust_remote_code=False)
        net.register_forward_hook(logits)
        return net

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
        lacks = os.path.isdir(self.name) and not os.path.isfile(os.path.join(self.name, PROCESSOR))
        found = {} if lacks else ImageProcessingMixin.get_image_processor_dict(self.name)[0]
        crop = found.get("crop_size") if found.get("do_center_crop", True) else None
        size = _sides(args.get("image_size") or crop or found.get("size") or side)
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


def logits(net: nn.Module, args: Any, output: Any) -> Tensor:
    """A hook after ``forward``: of the output, which has other parts as well, the logits."""
    found: Tensor = output.logits
    return found


def _arguments(args: Mapping[str, Any], classes: int, channels: int) -> dict[str, Any]:
    return {"num_labels": classes, "num_channels": channels, **args}
