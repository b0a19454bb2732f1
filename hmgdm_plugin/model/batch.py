"""A batch of latent entity graphs G = (V, E, X, F): what stage 2 sees."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .kinds import Vertices

LEAST_TISSUE = 0.02  # of a tile


@dataclass(frozen=True)
class LatentBatch:
    """Graphs side by side, vertices and edges sorted by graph.

    Parameters
    ----------
    x : (N, dv) float
        Vertex attributes, standardised.
    edge_attr : (M, de) float
        Edge attributes, standardised.
    edge_index : (2, M) int64
        Undirected, stored once, u < v, no self-loops.
    pos, edge_pos : (N, 2), (M, 2) float
        Centroids in units of the tile's side, [0, 1].
    batch, edge_batch : (N,), (M,) int64
        Graph of each vertex and edge, ascending.
    num_graphs : int
        B; a graph may have no edges.
    kind : (N,) int64
        0 tissue superpixel, 1 nucleus.
    area : (N,) float, optional
        Share of the tile's tissue that each vertex covers: its weight in readouts; equal weights where not given.
    tissue : (B,) float, optional
        Share of each tile that is tissue; all of it where not given.
    """

    x: Tensor
    edge_attr: Tensor
    edge_index: Tensor
    pos: Tensor
    edge_pos: Tensor
    batch: Tensor
    edge_batch: Tensor
    num_graphs: int
    kind: Tensor
    area: Tensor | None = None
    tissue: Tensor | None = None

    @property
    def vertices(self) -> Vertices:
        """What readouts ask of the vertices."""
        return Vertices(self.batch, self.num_graphs, self.area, self.kind, self.tissue)

    def weight(self) -> Tensor:
        """Weight of each vertex (N,) in its graph's readouts; not normalised."""
        return self.x.new_ones(self.x.shape[0]) if self.area is None else self.area

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> LatentBatch:
        """Move everything to `device`; attributes and positions also to `dtype`."""
        floats = {name: getattr(self, name).to(device, dtype) for name in ("x", "edge_attr", "pos", "edge_pos")}
        whole = {name: getattr(self, name).to(device) for name in ("edge_index", "batch", "edge_batch", "kind")}
        area, tissue = (None if each is None else each.to(device, dtype) for each in (self.area, self.tissue))
        return LatentBatch(**floats, **whole, num_graphs=self.num_graphs, area=area, tissue=tissue)


def on_tissue(batch: LatentBatch, share: Tensor, covered: Tensor) -> LatentBatch:
    """`batch` with every graph read out as if its tile were full of the tissue that it shows.

    Parameters
    ----------
    share : (B,) float
        Share of each tile that is tissue. With less than `LEAST_TISSUE` a tile is read out as a whole.
    covered : (N,) bool
        Vertices that lie on tissue.
    """
    some = torch.bincount(batch.batch[covered], minlength=batch.num_graphs) > 0
    read = (share >= LEAST_TISSUE) & some
    share = torch.where(read, share, 1.0)
    kept = covered | ~read[batch.batch]
    return replace(batch, area=batch.weight() * kept / share[batch.batch], tissue=share)


def subgraph(batch: LatentBatch, keep: Tensor) -> LatentBatch:
    """Subgraph induced by the vertices where `keep` (N,) bool is set; edges re-indexed, `num_graphs` unchanged."""
    kept = keep.nonzero().squeeze(1)
    edges = keep[batch.edge_index].all(0).nonzero().squeeze(1)
    new_index = keep.cumsum(0) - 1
    return LatentBatch(
        x=batch.x[kept],
        edge_attr=batch.edge_attr[edges],
        edge_index=new_index[batch.edge_index[:, edges]],
        pos=batch.pos[kept],
        edge_pos=batch.edge_pos[edges],
        batch=batch.batch[kept],
        edge_batch=batch.edge_batch[edges],
        num_graphs=batch.num_graphs,
        kind=batch.kind[kept],
        area=None if batch.area is None else batch.area[kept],
        tissue=batch.tissue,
    )


def repeated(batch: LatentBatch, times: int) -> LatentBatch:
    """`batch` side by side with itself `times` times, as ``times * num_graphs`` graphs."""
    copies = torch.arange(times, device=batch.x.device)
    return LatentBatch(
        x=batch.x.repeat(times, 1),
        edge_attr=batch.edge_attr.repeat(times, 1),
        edge_index=_shifted(batch.edge_index, copies * batch.x.shape[0]),
        pos=batch.pos.repeat(times, 1),
        edge_pos=batch.edge_pos.repeat(times, 1),
        batch=_shifted(batch.batch, copies * batch.num_graphs),
        edge_batch=_shifted(batch.edge_batch, copies * batch.num_graphs),
        num_graphs=times * batch.num_graphs,
        kind=batch.kind.repeat(times),
        area=None if batch.area is None else batch.area.repeat(times),
        tissue=None if batch.tissue is None else batch.tissue.repeat(times),
    )


def side_by_side(batches: Sequence[LatentBatch]) -> LatentBatch:
    """All graphs of `batches` (one or more) as one batch, in order."""
    vertices = _starts([b.x.shape[0] for b in batches])
    graphs = _starts([b.num_graphs for b in batches])
    areas = [b.area for b in batches if b.area is not None]
    tissue = [b.vertices.share().squeeze(1) for b in batches] if any(b.tissue is not None for b in batches) else None
    return LatentBatch(
        x=torch.cat([b.x for b in batches]),
        edge_attr=torch.cat([b.edge_attr for b in batches]),
        edge_index=torch.cat([b.edge_index + start for b, start in zip(batches, vertices, strict=True)], dim=1),
        pos=torch.cat([b.pos for b in batches]),
        edge_pos=torch.cat([b.edge_pos for b in batches]),
        batch=torch.cat([b.batch + start for b, start in zip(batches, graphs, strict=True)]),
        edge_batch=torch.cat([b.edge_batch + start for b, start in zip(batches, graphs, strict=True)]),
        num_graphs=sum(b.num_graphs for b in batches),
        kind=torch.cat([b.kind for b in batches]),
        area=torch.cat(areas) if len(areas) == len(batches) else None,
        tissue=None if tissue is None else torch.cat(tissue),
    )


def apart(batch: LatentBatch) -> Iterator[LatentBatch]:
    """Each graph of `batch` as a batch of one; its vertices and edges lie together, so nothing is copied."""
    counts = [torch.bincount(of, minlength=batch.num_graphs).tolist() for of in (batch.batch, batch.edge_batch)]
    first = last = 0  # vertex and edge
    for number, (vertices, edges) in enumerate(zip(*counts, strict=True)):
        v, e = slice(first, first + vertices), slice(last, last + edges)
        yield LatentBatch(
            x=batch.x[v],
            edge_attr=batch.edge_attr[e],
            edge_index=batch.edge_index[:, e] - first,
            pos=batch.pos[v],
            edge_pos=batch.edge_pos[e],
            batch=torch.zeros(vertices, dtype=torch.int64),
            edge_batch=torch.zeros(edges, dtype=torch.int64),
            num_graphs=1,
            kind=batch.kind[v],
            area=None if batch.area is None else batch.area[v],
            tissue=None if batch.tissue is None else batch.tissue[number : number + 1],
        )
        first, last = first + vertices, last + edges


def _starts(sizes: Sequence[int]) -> list[int]:
    return [sum(sizes[:k]) for k in range(len(sizes))]


def _shifted(index: Tensor, shifts: Tensor) -> Tensor:
    """(..., n) index to (..., len(shifts) * n), copy k shifted by ``shifts[k]``."""
    return (index.unsqueeze(-2) + shifts.unsqueeze(-1)).flatten(-2)
