"""Layer norm of float32 rows on a processor: one pass over rows that stay in the cache, where torch's takes four."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor

from .rowwise import centre, prepare


def normed(rows: Tensor, scale: Tensor, shift: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """``(rows - mean) / deviation * scale + shift`` of rows (R, k), scale and shift (k,); not differentiable.

    Returns
    -------
    out : (R, k)
    mean, inverse : (R, 1)
        Of each row, and the inverse of its deviation, as the backward pass of torch takes them.
    """
    if rows.device.type != "cpu" or not rows.dtype == scale.dtype == torch.float32:
        return torch.native_layer_norm(rows, scale.shape, scale, shift, eps)
    rows = rows.contiguous()
    out, centres, scales = torch.empty_like(rows), rows.new_empty(2, rows.shape[0]), torch.stack([scale, shift])
    _normalise(np.float32(eps), *(each.detach().numpy() for each in (rows, scales, centres, out)))
    return out, centres[0, :, None], centres[1, :, None]


@njit(cache=True, nogil=True, error_model="numpy")
def _normalise(eps: Any, rows: Any, scales: Any, centres: Any, out: Any) -> None:
    """Fill `out` (R, k) and `centres` (2, R)."""
    centre(rows, 0, len(rows), eps, centres)
    prepare(rows, 0, len(rows), True, False, scales, centres, out, out[:0])
