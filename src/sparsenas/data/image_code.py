"""The code by which an image becomes the input of an exported network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

STEPS = ("resize", "crop", "mean", "std")
CODE = """import numpy as np
from PIL import Image, ImageOps

facts = {facts}
image = ImageOps.exif_transpose(Image.open("photo.jpg")).convert("RGB")
(height, width), (high, wide) = facts["resize"], facts["crop"]
image = ImageOps.fit(image, (width, height), Image.Resampling.BILINEAR)
top, left = (height - high) // 2, (width - wide) // 2
pixels = np.asarray(image.crop((left, top, left + wide, top + high)), dtype=np.float32) / 255
inputs = ((pixels - np.float32(facts["mean"])) / np.float32(facts["std"])).transpose(2, 0, 1)[None]"""


def image_code(prepared: Mapping[str, Any] | None) -> str:
    """Python that makes ``inputs`` of a file; empty for data that are no image files.

    ``prepared`` is what ``data/preprocessing.py::preparation`` returns.
    """
    facts = {step: (prepared or {}).get(step) for step in STEPS}
    return CODE.format(facts=facts) if all(facts.values()) else ""
