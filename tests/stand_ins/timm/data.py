"""Stands in for ``timm.data``."""

from typing import Any

from small_nets import MEAN, SIDE, STD
from torch import nn


def resolve_model_data_config(net: nn.Module) -> dict[str, Any]:
    return {"input_size": (3, SIDE, SIDE), "mean": MEAN, "std": STD, "crop_pct": 0.9}
