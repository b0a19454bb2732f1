"""Entity attributes, positions and time as vectors of the model's width."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ..schema.graph import NUCLEUS
from .layers import Linear
from .rows import Mixture

OCTAVES = 6  # wavelengths of position: 2 tile sides down to 1/16, half an entity


class EntityEmbedding(nn.Module):
    """Attributes (R, d) > (R, h), plus position, plus a vector for nuclei.

    Parameters
    ----------
    dim, hidden : int
        d and h.
    position : bool
        Add the sin-cos features of the centroid; never an index, so numbering does not matter.
    kinds : bool
        Vertices have a kind, edges have none.
    plain : bool
        The paper's LayerNorm > Linear > Linear. Otherwise one Linear on the standardised attributes, which keeps
        their scale.
    """

    def __init__(self, dim: int, hidden: int, *, position: bool, kinds: bool, plain: bool = False) -> None:
        super().__init__()
        linear = Linear(dim, hidden)
        self.attributes = nn.Sequential(nn.LayerNorm(dim), linear, Linear(hidden, hidden)) if plain else linear
        self.place = Place(hidden, position=position, kinds=kinds)

    def forward(self, x: Tensor | Mixture, pos: Tensor, kind: Tensor | None = None) -> Tensor:
        """(R, h) of attributes (R, d), positions (R, 2) and kinds (R,)."""
        plain = isinstance(x, Mixture) and not isinstance(self.attributes, Linear)
        return self.place(self.attributes(x.all() if plain else x), pos, kind)


@torch.no_grad()
def balance(linear: nn.Linear, parts: tuple[int, ...]) -> None:
    """Scale the columns of `linear` so that every block of the attributes has the same say at the start.

    Else 256 numbers of an auto-encoder, mostly detail, drown the descriptors: a random encoder lost .1 R2 of the
    nuclear count that its input held.
    """
    first = 0
    for size in parts:
        linear.weight[:, first : first + size] *= (sum(parts) / (len(parts) * size)) ** 0.5
        first += size


class Place(nn.Module):
    """What is public about an entity, hidden or not: where it is, and whether it is a nucleus.

    The nucleus vector starts at zero: a model that never met nuclei treats them as tissue.
    """

    octaves: Tensor

    def __init__(self, hidden: int, *, position: bool, kinds: bool) -> None:
        super().__init__()
        self.position = Linear(4 * OCTAVES, hidden, bias=False) if position else None
        self.nucleus = nn.Parameter(torch.zeros(hidden)) if kinds else None
        self.register_buffer("octaves", math.pi * 2.0 ** torch.arange(OCTAVES), persistent=False)

    def forward(self, rows: Tensor, pos: Tensor, kind: Tensor | None) -> Tensor:
        """Add to rows (R, h), in the parameters' precision."""
        rows = rows.to(self.octaves.dtype)
        if self.position is not None:
            angle = (pos[:, :, None] * self.octaves).flatten(1)  # (R, 2 * OCTAVES)
            rows = rows + self.position(torch.cat([angle.sin(), angle.cos()], dim=1))
        if self.nucleus is not None and kind is not None:
            rows = rows.addcmul((kind == NUCLEUS).to(rows.dtype)[:, None], self.nucleus)
        return rows


class TimeEmbedding(nn.Module):
    """tau(t): sin-cos of the step, base 10,000, through two linear layers."""

    frequencies: Tensor

    def __init__(self, hidden: int) -> None:
        super().__init__()
        half = max(hidden // 2, 1)
        frequencies = torch.exp(-math.log(10_000.0) * torch.arange(half) / half)
        self.register_buffer("frequencies", frequencies, persistent=False)
        self.layers = nn.Sequential(Linear(2 * half, 2 * hidden), nn.SiLU(), Linear(2 * hidden, hidden))

    def forward(self, t: Tensor) -> Tensor:
        """(B, h) of steps (B,)."""
        angle = t[:, None] * self.frequencies
        return self.layers(torch.cat([angle.sin(), angle.cos()], dim=1))
