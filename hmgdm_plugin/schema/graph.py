"""The entity graph: tissue entities of one tile, their contacts, and an image window on each.

Fields of `EntityGraph` (N vertices, M undirected edges, S = stored window side, D = descriptors):

============  ==================  =======================================================
x             (N, 4, S, S) uint8  RGB window and instance mask (0..255 coverage) of the vertex
desc          (N, D) float16      colour, texture and shape descriptors from the tile's own pixels; those from
                                  OWN_DESCRIPTORS on look past the entity
edge_index    (2, M) int64        undirected, stored once with u < v, no self-loops, sorted
edge_attr     (M, 4, S, S) uint8  RGB window and mask of the band where two entities meet
edge_desc     (M, D) float16      descriptors of the band's pixels
pos           (N, 2) float32      centroid x, y in level-0 pixels
edge_pos      (M, 2) float32      centroid x, y of the band in level-0 pixels
area          (N,) float32        share of the tile that the entity covers; the shares sum to 1
edge_area     (M,) float32        share of the tile that the band covers
kind          (N,) uint8          0 tissue superpixel, 1 nucleus
tile          (1, 3) float32      x_px, y_px, side_px of the tile in level-0 pixels
slide         str                 name of the slide; empty in graphs cached for training
mpp           float               microns per pixel of the tile's image; 0 in graphs cached for training
============  ==================  =======================================================

Vertices of kind 1 come after all of kind 0; a pixel under a nucleus counts in the nucleus's area only. Outlines are
kept beside the graph in the same order, never inside it. `EntityGraph.to_data` gives the same as a
`torch_geometric.data.Data`; the package itself batches with `batched`, since to import torch_geometric takes as long as
to analyse 50 tiles.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from torch_geometric.data import Data

TISSUE, NUCLEUS = 0, 1
OWN_DESCRIPTORS = 63  # the first so many are read from the pixels of the entity or band alone


@dataclass(frozen=True, slots=True, eq=False)
class EntityGraph:
    """One tile as a graph. Fields: see the module."""

    x: Tensor
    desc: Tensor
    edge_index: Tensor
    edge_attr: Tensor
    edge_desc: Tensor
    pos: Tensor
    edge_pos: Tensor
    area: Tensor
    edge_area: Tensor
    kind: Tensor
    tile: Tensor
    slide: str = ""
    mpp: float = 0.0

    @property
    def num_nodes(self) -> int:
        """N."""
        return int(self.kind.shape[0])

    @property
    def num_entities(self) -> int:
        """Vertices and undirected edges together: what a batch costs."""
        return self.num_nodes + int(self.edge_index.shape[1])

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Name and value of every field that is a tensor."""
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Tensor):
                yield field.name, value

    def to_data(self) -> Data:
        """The same as a torch_geometric graph, edges in both directions as its operators want them.

        Fields of edges are repeated in the same order: first all edges u > v as stored, then all turned round.
        """
        from torch_geometric.data import Data

        whole: dict[str, Any] = dict(self.tensors()) | {"slide": self.slide, "mpp": self.mpp}
        for name in ("edge_attr", "edge_desc", "edge_pos", "edge_area"):
            whole[name] = torch.cat([whole[name], whole[name]])
        whole["edge_index"] = torch.cat([self.edge_index, self.edge_index.flip(0)], dim=1)
        return Data(**whole, num_nodes=self.num_nodes)


@dataclass(frozen=True, slots=True, eq=False)
class GraphBatch:
    """Graphs side by side: fields as in `EntityGraph`, edges shifted, and the graph of each vertex, (N,) ascending."""

    x: Tensor
    desc: Tensor
    edge_index: Tensor
    edge_attr: Tensor
    edge_desc: Tensor
    pos: Tensor
    edge_pos: Tensor
    area: Tensor
    kind: Tensor
    tile: Tensor
    batch: Tensor
    num_graphs: int

    def to(self, device: torch.device | str) -> GraphBatch:
        """Move everything to `device`."""
        names = [field.name for field in fields(self) if field.name != "num_graphs"]
        return GraphBatch(**{name: getattr(self, name).to(device) for name in names}, num_graphs=self.num_graphs)


def batched(graphs: Sequence[EntityGraph]) -> GraphBatch:
    """Put `graphs`, at least one, side by side."""
    sizes = torch.tensor([graph.num_nodes for graph in graphs])
    before = (sizes.cumsum(0) - sizes).tolist()
    joined = ("x", "desc", "edge_attr", "edge_desc", "pos", "edge_pos", "area", "kind", "tile")
    return GraphBatch(
        **{name: torch.cat([getattr(graph, name) for graph in graphs]) for name in joined},
        edge_index=torch.cat([g.edge_index + first for g, first in zip(graphs, before, strict=True)], dim=1),
        batch=torch.arange(len(graphs)).repeat_interleave(sizes),
        num_graphs=len(graphs),
    )
