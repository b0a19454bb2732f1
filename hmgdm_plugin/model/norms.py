"""Layer norm of float32 rows on a processor: one pass over rows that stay in the cache, where torch's takes four."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor

FAST = {"contract", "reassoc", "nsz", "arcp"}  # what is not a number has to stay so


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
    out, mean, inverse = (rows.new_empty(rows.shape[0], width) for width in (rows.shape[1], 1, 1))
    _normalise(np.float32(eps), *(each.detach().numpy() for each in (rows, scale, shift, out, mean, inverse)))
    return out, mean, inverse


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _normalise(eps: Any, rows: Any, scale: Any, shift: Any, out: Any, means: Any, inverses: Any) -> None:
    """Fill `out` (R, k), `means` and `inverses` (R, 1)."""
    count, width = rows.shape
    for row in range(count):
        total = np.float32(0)
        for column in range(width):
            total += rows[row, column]
        mean = total / np.float32(width)
        square = np.float32(0)
        for column in range(width):
            square += (rows[row, column] - mean) ** 2
        inverse = np.float32(1) / np.sqrt(square / np.float32(width) + eps)
        for column in range(width):
            out[row, column] = (rows[row, column] - mean) * inverse * scale[column] + shift[column]
        means[row, 0], inverses[row, 0] = mean, inverse
