"""Stands in for ``torchvision.models``: the functions that sparsenas calls, with one network."""

from types import ModuleType, SimpleNamespace

from small_nets import CLASSES, MEAN, SIDE, STD, SmallNet, trained
from torch import nn


def list_models(module: ModuleType) -> list[str]:
    assert module.__name__ == __name__
    return ["resnet18"]


def get_model(name: str, weights: str | None = None, num_classes: int = CLASSES) -> nn.Module:
    if name != "resnet18":
        raise ValueError(f"Unknown model {name}")
    assert weights is None or num_classes == CLASSES
    return SmallNet(num_classes) if weights is None else trained()


def get_model_weights(name: str) -> list[SimpleNamespace]:
    if name != "resnet18":
        raise ValueError(f"Unknown model {name}")
    made = SimpleNamespace(crop_size=[SIDE], resize_size=[14], mean=list(MEAN), std=list(STD))
    return [SimpleNamespace(transforms=lambda: made)]
