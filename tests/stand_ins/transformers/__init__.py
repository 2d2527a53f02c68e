"""Stands in for transformers: the classes that sparsenas calls, with one network, from a folder."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from safetensors.torch import load_file, save_file
from small_nets import CLASSES, MEAN, SIDE, STD, SmallNet, trained
from torch import Tensor, nn

PROCESSOR = {
    "do_normalize": True, "image_mean": list(MEAN), "image_std": list(STD),
    "do_center_crop": True, "crop_size": {"height": SIDE, "width": SIDE}, "size": {"shortest_edge": 14},
}  # fmt: skip


class Classifier(nn.Module):
    """Returns an object, as networks of transformers do."""

    def __init__(self, config: SimpleNamespace) -> None:
        super().__init__()
        self.body = SmallNet(config.num_labels, config.num_channels)

    def forward(self, pixel_values: Tensor, labels: Tensor | None = None) -> Any:
        return SimpleNamespace(loss=None, logits=self.body(pixel_values))


class AutoConfig:
    @staticmethod
    def from_pretrained(folder: str, trust_remote_code: bool = False, **given: int) -> SimpleNamespace:
        assert not trust_remote_code
        return SimpleNamespace(**{**json.loads((Path(folder) / "config.json").read_text()), **given})


class AutoModelForImageClassification:
    @staticmethod
    def from_config(config: SimpleNamespace, trust_remote_code: bool = False) -> Classifier:
        assert not trust_remote_code
        return Classifier(config)

    @staticmethod
    def from_pretrained(folder: str, config: SimpleNamespace, trust_remote_code: bool = False) -> Classifier:
        assert not trust_remote_code
        net = Classifier(config)
        net.load_state_dict(load_file(Path(folder) / "model.safetensors"))
        return net


def save(folder: Path) -> None:
    """A folder as ``save_pretrained`` leaves it."""
    folder.mkdir()
    config = {"num_labels": CLASSES, "image_size": 16, "num_channels": 3}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    save_file({f"body.{name}": tensor for name, tensor in trained().state_dict().items()}, folder / "model.safetensors")
