"""The built-in search spaces, one file per family.

Any other ``nn.Module`` that contains choice modules is a search space as well.
"""

from collections.abc import Callable

from torch import nn

from sparsenas.spaces.bridge import Bridge as Bridge
from sparsenas.spaces.darts import darts as darts
from sparsenas.spaces.darts import darts_imagenet as darts_imagenet
from sparsenas.spaces.dso import dso as dso
from sparsenas.spaces.dso import dso_imagenet as dso_imagenet
from sparsenas.spaces.from_huggingface import HuggingFace as HuggingFace
from sparsenas.spaces.from_timm import Timm as Timm
from sparsenas.spaces.from_torchvision import Torchvision as Torchvision
from sparsenas.spaces.mobilenet import fbnet as fbnet
from sparsenas.spaces.mobilenet import proxyless as proxyless
from sparsenas.spaces.nasbench201 import nasbench201 as nasbench201
from sparsenas.spaces.nasbench_macro import nasbench_macro as nasbench_macro
from sparsenas.spaces.open import open_space as open_space
from sparsenas.spaces.resnet import resnet18 as resnet18
from sparsenas.spaces.resnet import resnet34 as resnet34
from sparsenas.spaces.shufflenet import shufflenet as shufflenet
from sparsenas.spaces.tiny import tiny as tiny
from sparsenas.spaces.vit import vit as vit

SPACES: dict[str, Callable[..., nn.Module]] = {
    "tiny": tiny,
    "nasbench_macro": nasbench_macro,
    "nasbench201": nasbench201,
    "shufflenet": shufflenet,
    "proxyless": proxyless,
    "fbnet": fbnet,
    "resnet18": resnet18,
    "resnet34": resnet34,
    "darts": darts,
    "darts_imagenet": darts_imagenet,
    "dso": dso,
    "dso_imagenet": dso_imagenet,
    "vit": vit,
}
"""The spaces that the command line knows by name, beside ``open``, which needs a network."""
BRIDGES: dict[str, type[Bridge]] = {"timm": Timm, "torchvision": Torchvision, "hf": HuggingFace}
"""The libraries whose networks are spaces, by the prefix of their names, as in ``timm:resnet18``."""
