"""From entity graphs (windows, descriptors) to attributes of stage 2; stage 1 is frozen here."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from ..schema.graph import OWN_DESCRIPTORS, GraphBatch
from .autoencoder import EntityAutoencoder
from .batch import LatentBatch

LIMIT = 6.0  # standard deviations at which descriptors are clamped
CHUNK = 128  # windows encoded at a time: activations stay in the processor's cache, and memory flat


class EntityFeatures(nn.Module):
    """Windows and descriptors to standardised attribute vectors.

    Parameters
    ----------
    autoencoder : EntityAutoencoder or None
        Stage 1; its weights are frozen. None where attributes are descriptors alone.
    descriptors : int
        D, descriptors per entity: the first D of those that a graph has.
    features : {"latent", "descriptors", "both"}
        What an attribute vector holds.

    Attributes
    ----------
    parts : tuple of int
        Sizes of the blocks of an attribute vector, such as (256, 63); the same for vertices and edges.
    beside : int
        Numbers of a vertex after these that look past it: read out, but neither learnt from nor restored, since they
        would tell of hidden neighbours.
    """

    desc_mean: Tensor
    desc_std: Tensor
    edge_desc_mean: Tensor
    edge_desc_std: Tensor

    def __init__(
        self,
        autoencoder: EntityAutoencoder | None,
        descriptors: int,
        features: Literal["latent", "descriptors", "both"],
    ) -> None:
        super().__init__()
        if autoencoder is None and features != "descriptors":
            raise ValueError(f"attributes {features!r} need an auto-encoder")
        self.autoencoder = None if autoencoder is None else autoencoder.requires_grad_(False).eval()
        self.features = features
        latent = () if autoencoder is None or features == "descriptors" else (autoencoder.latent_dim,)
        own = min(descriptors, OWN_DESCRIPTORS)
        self.parts: tuple[int, ...] = latent if features == "latent" else (*latent, own)
        self.beside = 0 if features == "latent" else descriptors - own
        for name in ("desc", "edge_desc"):
            self.register_buffer(f"{name}_mean", torch.zeros(descriptors))
            self.register_buffer(f"{name}_std", torch.ones(descriptors))

    def train(self, mode: bool = True) -> EntityFeatures:
        """Frozen: stays in evaluation mode."""
        return super().train(False)

    def fit_descriptors(self, desc: Tensor, edge_desc: Tensor) -> None:
        """Set the standardisation from descriptors (N, D) and (M, D) of the training graphs."""
        for name, values in (("desc", desc.double()), ("edge_desc", edge_desc.double())):
            std = values.std(0, correction=0)
            getattr(self, f"{name}_mean").copy_(values.mean(0))
            getattr(self, f"{name}_std").copy_(torch.where(std > 1e-6, std, torch.ones_like(std)))

    @torch.no_grad()
    def forward(self, graphs: GraphBatch) -> LatentBatch:
        """Attributes of a batch of entity graphs; no gradient reaches stage 1."""
        batch, edge_index = graphs.batch, graphs.edge_index
        edge_batch = batch[edge_index[0]]
        own = OWN_DESCRIPTORS
        return LatentBatch(
            x=self._attributes(graphs.x, graphs.desc, self.desc_mean, self.desc_std),
            edge_attr=self._attributes(
                graphs.edge_attr, graphs.edge_desc[:, :own], self.edge_desc_mean[:own], self.edge_desc_std[:own]
            ),
            edge_index=edge_index,
            pos=_tile_units(graphs.pos, graphs.tile, batch),
            edge_pos=_tile_units(graphs.edge_pos, graphs.tile, edge_batch),
            batch=batch,
            edge_batch=edge_batch,
            num_graphs=int(graphs.num_graphs),
            kind=graphs.kind.long(),
            area=graphs.area,
        )

    def _attributes(self, windows: Tensor, desc: Tensor, mean: Tensor, std: Tensor) -> Tensor:
        """(K, sum(parts), and `beside`) of windows (K, 4, S, S) and descriptors (K, D or more)."""
        blocks = []
        if self.autoencoder is not None and self.features != "descriptors":
            chunks = torch.split(windows, CHUNK)
            blocks.append(torch.cat([self.autoencoder.encode(chunk).to(mean.dtype) for chunk in chunks]))
        if self.features != "latent":
            blocks.append(((desc[:, : mean.numel()].to(mean.dtype) - mean) / std).clamp(-LIMIT, LIMIT))
        return torch.cat(blocks, dim=1)


def _tile_units(pos: Tensor, tile: Tensor, batch: Tensor) -> Tensor:
    """Level-0 pixels (K, 2) as fractions of the side of each entity's tile (x_px, y_px, side_px)."""
    return (pos - tile[batch, :2]) / tile[batch, 2:]
