"""Images at other sizes than that of the data: in training, and where small ones are enlarged."""

from __future__ import annotations

from math import prod

from sparsenas.data import Data
from sparsenas.data.dataset import is_one_image
from sparsenas.errors import UserError
from sparsenas.job.build import preprocessing
from sparsenas.job.plugin import Plugin
from sparsenas.rundir.folder import Run
from sparsenas.rundir.logger import RunLogger
from sparsenas.training.recipe import Recipe

ENLARGED = 2
"""Growth of the side of an image beyond which its size is told."""


def tell_of_sizes(run: Run, stage: str, recipe: Recipe, data: Data) -> None:
    """A line where training ends at another size than that of the data, at which networks are scored and tested.

    Raises ``UserError`` where the inputs are no images.
    """
    if not recipe.sizes:
        return
    if not is_one_image(data.example):
        raise UserError(f"--{stage}.sizes: expected none, since the inputs are no images")
    side = min(data.example.shape[-2:])
    if recipe.sizes[-1] != side:
        RunLogger(run).say(
            f"--{stage}.sizes: training ends at {recipe.sizes[-1]} pixels, networks are scored and tested at {side}, "
            f"which may ruin their scores; a last size of {side} avoids it"
        )


def tell_of_enlarged(run: Run, space: Plugin, given: Plugin, data: Data) -> None:
    """A line where images become much larger than they are stored, though nobody has chosen the larger size."""
    if data.stored is None or data.crop is None or given.flags.get("size") or preprocessing(space).size:
        return
    times = (prod(data.crop) / prod(data.stored)) ** 0.5
    if times > ENLARGED:
        (height, width), (high, wide) = data.stored, data.crop
        own = str(height) if height == width else f"{height},{width}"
        RunLogger(run).say(
            f"--data.size: images of {height}x{width} pixels are enlarged to {high}x{wide}, so that everything takes "
            f"about {times**2:.0f} times as long; --data.size {own} keeps their size"
        )
