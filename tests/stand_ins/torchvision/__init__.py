"""Stands in for torchvision."""

from torchvision import models as models
