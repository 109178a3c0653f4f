"""Image transformations by ART's preprocessors, each worked around where it errs. They give no gradient."""

import numpy as np
import numpy.typing as npt
import torch
from art.defences.preprocessor import FeatureSqueezing, JpegCompression, SpatialSmoothing
from torch import Tensor

BOX = (0.0, 1.0)


def squeezed(x: Tensor, bits: int) -> Tensor:
    """``x`` on 2^``bits`` levels.

    ART returns float64 under numpy 2, which no network takes: brought back to float32.
    """
    return _as(x, FeatureSqueezing(clip_values=BOX, bit_depth=bits)(_array(x))[0])


def median(x: Tensor, width: int) -> Tensor:
    """The median of ``width`` x ``width`` around each value."""
    return _as(x, SpatialSmoothing(window_size=width, channels_first=True, clip_values=BOX)(_array(x))[0])


def jpeg(x: Tensor, quality: int) -> Tensor:
    """``x`` as a JPEG of ``quality``.

    ART cuts values off to 8 bits, where an image's own 8 bits may be lost to rounding. So they are rounded
    here, and given to it half a level higher.
    """
    levels = (np.rint(np.clip(_array(x), 0, 1) * 255) + 0.5) / 255
    compress = JpegCompression(clip_values=BOX, quality=quality, channels_first=True)
    return _as(x, compress(np.minimum(levels, 255.5 / 255).astype(np.float32))[0])


def _array(x: Tensor) -> npt.NDArray[np.float32]:
    array: npt.NDArray[np.float32] = x.detach().cpu().numpy()
    return array


def _as(x: Tensor, array: npt.NDArray[np.floating]) -> Tensor:
    return torch.from_numpy(np.asarray(array, dtype=np.float32)).to(x.device)
