"""Training at other sizes than that of the data."""

from __future__ import annotations

from sparsenas.data import Data
from sparsenas.data.dataset import is_one_image
from sparsenas.errors import UserError
from sparsenas.rundir.folder import Run
from sparsenas.rundir.logger import RunLogger
from sparsenas.training.recipe import Recipe


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
