"""One image file of any format to RGB pixels."""

from __future__ import annotations

import io
import warnings

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

Pixels = np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]


class UnreadableImage(ValueError):
    """A file that is no usable image; the text says why."""


def decode(file: bytes, size: tuple[int, int] | None = None) -> Pixels:
    """Red, green and blue of every pixel, as an array (height, width, 3).

    Greyscale, palettes, CMYK and 16 bits become RGB, and transparent parts become white. An animation gives its first
    frame. The orientation in a photograph's metadata is applied. With ``size`` (height, width) the largest centre crop
    of that form is resized to it.
    Raises ``UnreadableImage`` for a file that is empty, truncated, no image, or larger than Pillow's limit.
    """
    if not file:
        raise UnreadableImage("the file is empty")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            warnings.simplefilter("ignore", UserWarning)
            opened = Image.open(io.BytesIO(file))
            if size is not None:
                opened.draft("RGB", size[::-1])  # JPEG decodes to about that size at once
            image = _rgb(ImageOps.exif_transpose(opened))
    except UnidentifiedImageError as error:
        raise UnreadableImage("not an image file") from error
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise UnreadableImage("more pixels than Pillow's limit") from error
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError) as error:
        raise UnreadableImage(f"damaged image: {error}") from error
    return np.array(image if size is None else ImageOps.fit(image, size[::-1], Image.Resampling.BILINEAR))


def stored_size(file: bytes) -> tuple[int, int] | None:
    """Height and width of an image file as it is, read from its head; ``None`` for a file that is no image."""
    try:
        with Image.open(io.BytesIO(file)) as opened:
            return opened.height, opened.width
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        return Image.fromarray(_eight_bits(np.asarray(image))).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def _eight_bits(values: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Sixteen bits, or numbers within 0..1, to eight bits."""
    numbers = values.astype(np.float64)
    scale = 255.0 if values.dtype.kind == "f" and numbers.max(initial=0) <= 1 else 255 / 65535
    return np.clip(np.round(numbers * scale), 0, 255).astype(np.uint8)
