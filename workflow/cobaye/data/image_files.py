"""Image files: their bytes decoded to 8 bits per colour, whatever depth they have."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, UnidentifiedImageError

# Tags of TIFF: bits of a number; what 0 means (0: white); the values of black and white.
BITS, ZERO, BLACK, WHITE = 258, 262, 340, 341


class Undecodable(Exception):
    """A file that is no image, or one whose pixels cannot be told; the message says why."""


def decode(content: bytes) -> Image.Image:
    """Return an image of mode RGB, 8 bits per colour, from the content of its file.

    Pixels of 16 bits are divided by 65535, and those of TIFF by what their bits can hold. Floats
    are taken from 0 to 1, or between the values of black and white that a TIFF states. Raises
    Undecodable for floats outside that range, for integers of 32 bits, whose range no file states,
    and for whatever Pillow cannot decode.
    """
    try:
        with Image.open(io.BytesIO(content)) as opened:
            return _eight_bits(opened).convert("RGB")
    except MemoryError:
        raise
    except UnidentifiedImageError:  # its text names an address in memory
        raise Undecodable("UnidentifiedImageError: not an image that Pillow knows") from None
    except Exception as error:  # decoders raise whatever they like
        raise Undecodable(f"{type(error).__name__}: {error}") from None


def _eight_bits(image: Image.Image) -> Image.Image:
    """Return an image of 16-bit integers or of floats as 8-bit grey; any other as it is."""
    if image.mode[0] not in "IF":
        return image
    black, white = _range(image)
    shares = (np.asarray(image).astype(np.float32) - black) / (white - black)
    if not (shares.min() >= 0 and shares.max() <= 1):
        raise ValueError(f"pixels outside their range from {black:g} to {white:g}: save 8 bits")
    return Image.fromarray(np.rint(255 * shares).astype(np.uint8))


def _range(image: Image.Image) -> tuple[float, float]:
    """Return the values of black and white of pixels that are deeper than 8 bits."""
    tags = getattr(image, "tag_v2", {})
    if image.mode == "F":
        black, white = (np.ravel(tags.get(tag, value))[0] for tag, value in _FLOATS.items())
    elif image.mode == "I" and tags:
        raise ValueError("integers of 32 bits, or with a sign, have no known range: save 8 or 16")
    else:
        black, white = 0, 2 ** np.ravel(tags.get(BITS, 16))[0] - 1
    return (white, black) if tags.get(ZERO) == 0 else (black, white)


_FLOATS = {BLACK: 0.0, WHITE: 1.0}
