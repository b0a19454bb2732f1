"""The entity graph: tissue entities of one tile, their contacts, and an image window on each.

Fields of `EntityGraph` (N vertices, M undirected edges, S = stored window side, D = descriptors):

============  ==================  =======================================================
x             (N, 4, S, S) uint8  RGB window and instance mask (0..255 coverage) of the vertex
desc          (N, D) float16      colour, texture and shape descriptors from the tile's own pixels
edge_index    (2, M) int64        undirected, stored once with u < v, no self-loops, sorted
edge_attr     (M, 4, S, S) uint8  RGB window and mask of the band where two entities meet
edge_desc     (M, D) float16      descriptors of the band's pixels
pos           (N, 2) float32      centroid x, y in level-0 pixels
edge_pos      (M, 2) float32      centroid x, y of the band in level-0 pixels
area          (N,) float32        share of the tile that the entity covers; the shares sum to 1
edge_area     (M,) float32        share of the tile that the band covers
kind          (N,) uint8          0 tissue superpixel, 1 nucleus
slide         str                 name of the slide
tile          (1, 3) float32      x_px, y_px, side_px of the tile in level-0 pixels
mpp           float               microns per pixel of the tile's image
============  ==================  =======================================================

Vertices of kind 1 come after all of kind 0; a pixel under a nucleus counts in the nucleus's area only. Outlines are
kept beside the graph in the same order, never inside it.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch_geometric.data import Data

TISSUE, NUCLEUS = 0, 1


class EntityGraph(Data):
    """One tile as a graph; batches with `torch_geometric.data.Batch`. Fields: see the module."""

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
    slide: str
    tile: Tensor
    mpp: float

    def __inc__(self, key: str, value: Any, *args: Any, **kwargs: Any) -> Any:
        """Only `edge_index` is shifted when graphs are batched."""
        return self.num_nodes if key == "edge_index" else 0

    @property
    def num_entities(self) -> int:
        """Vertices and undirected edges together: what a batch costs."""
        return int(self.x.shape[0] + self.edge_index.shape[1])
