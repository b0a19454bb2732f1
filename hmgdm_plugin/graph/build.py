"""`build`: one tile's pixels to its entity graph; the same tile and settings give the same graph, bit for bit."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..schema.graph import NUCLEUS, TISSUE, EntityGraph
from ..schema.settings import GraphSettings
from ..schema.space import Tile
from .adjacency import Members, bands, edge_list, regions
from .colour import blur, planes_of
from .descriptors import LAYERS, describe, planes_for
from .merging import merge
from .nuclei import NucleusMap, joined
from .superpixels import slic
from .windows import cut_windows

if TYPE_CHECKING:
    from torch import Tensor

Labels = NDArray[np.int32]


def partition(rgb: NDArray[np.uint8], planes: NDArray[np.float32], settings: GraphSettings) -> tuple[Labels, int]:
    """Superpixels, merged where they look alike; unmerged where too few entities would be left.

    Parameters
    ----------
    rgb : (H, W, 3) uint8
    planes : (5, H, W) float32
        From `colour.planes_of`.

    Returns
    -------
    labels : (H, W) int32
        Entities 0..count-1, each 4- or 8-connected, in scan order.
    count : int
    """
    lab = blur(planes[:3], settings.blur_sigma_px)
    first, found = slic(lab, settings.segments, settings.compactness, settings.iterations)
    labels, count = merge(rgb, first, found, settings.merge_threshold, settings.min_area_px)
    if count < settings.min_vertices:
        labels, count = merge(rgb, first, found, 0.0, settings.min_area_px)
    return labels, count


def build(
    rgb: NDArray[np.uint8], tile: Tile, slide: str, settings: GraphSettings, nuclei: NucleusMap | None = None
) -> tuple[EntityGraph, Labels]:
    """Turn the pixels of `tile` into its entity graph.

    Parameters
    ----------
    rgb : (S, S, 3) uint8
        The tile's image at the settings' microns per pixel.
    tile : Tile
        Where the image lies; positions of the graph are level-0 pixels.
    slide : str
        Name of the slide, kept in the graph.
    nuclei : NucleusMap, optional
        Vertices of kind 1, after the superpixels, which stay what they are without them.

    Returns
    -------
    graph : EntityGraph
        Fields as `schema.graph` lists them.
    labels : (S, S) int32
        Superpixel under every pixel, in the order of the graph's vertices.
    """
    import torch

    rgb = np.ascontiguousarray(rgb)
    room = _ROOM.of((LAYERS, *rgb.shape[:2]))
    planes = planes_of(rgb, room[:5])
    labels, count = partition(rgb, planes, settings)
    edges = edge_list(labels, count)
    picture = _Picture(rgb, *planes_for(rgb, planes, room), tile, settings)
    vertex = picture.looked_at(regions(labels, count), settings.window_px)
    edge = picture.looked_at(bands(labels, edges, count, settings.band_px), settings.window_px)
    kind = torch.full((count,), TISSUE, dtype=torch.uint8)
    if nuclei is not None and len(nuclei):
        more = joined(nuclei, labels, count, settings)
        own = picture.looked_at(more.members, settings.nucleus_window_px)
        free = np.bincount(labels[nuclei.labels == 0], minlength=count).astype(np.float32)
        vertex[-1] = torch.from_numpy(free / labels.size)
        vertex = _followed(vertex, own)
        edges, order = _sorted(np.concatenate([edges, more.edges], axis=1))
        edge = [part[order] for part in _followed(edge, picture.looked_at(more.bands, settings.nucleus_window_px))]
        kind = torch.cat([kind, torch.full((len(nuclei),), NUCLEUS, dtype=torch.uint8)])
    graph = EntityGraph(
        **dict(zip(("x", "pos", "desc", "area"), vertex, strict=True)),
        **dict(zip(("edge_attr", "edge_pos", "edge_desc", "edge_area"), edge, strict=True)),
        edge_index=torch.from_numpy(edges),
        kind=kind,
        slide=slide,
        tile=torch.tensor([[tile.x_px, tile.y_px, tile.side_px]], dtype=torch.float32),
        mpp=tile.mpp,
    )
    return graph, labels


class _Room(threading.local):
    """Memory for the planes of a tile, each thread's own, for one tile after the other: fresh pages take time."""

    array: NDArray[np.float32] | None = None

    def of(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """An array of that shape with anything in it, the same as before where the shape is."""
        if self.array is None or self.array.shape != shape:
            self.array = np.empty(shape, np.float32)
        return self.array


_ROOM = _Room()


@dataclass(frozen=True, slots=True)
class _Picture:
    """A tile with its texture planes, from which entities and bands are described."""

    rgb: NDArray[np.uint8]
    smooth: NDArray[np.float32]
    coded: NDArray[np.uint8]
    tile: Tile
    settings: GraphSettings

    def looked_at(self, members: Members, window_px: int) -> list[Tensor]:
        """Windows, centroids in level-0 pixels, descriptors and shares of the tile, one row per member list."""
        import torch

        settings = self.settings
        windows, centres = cut_windows(self.rgb, members, window_px, settings.stored_px, settings.fill_rgb)
        share = np.diff(members.offsets).astype(np.float32) / (self.rgb.shape[0] * self.rgb.shape[1])
        fields = windows, self.tile.to_slide(centres).astype(np.float32), describe(self.smooth, self.coded, members)
        return [torch.from_numpy(field) for field in (*fields, share)]


def _followed(first: list[Tensor], then: list[Tensor]) -> list[Tensor]:
    """The rows of two lots of entities, one after the other."""
    import torch

    return [torch.cat(pair) for pair in zip(first, then, strict=True)]


def _sorted(edges: NDArray[np.int64]) -> tuple[NDArray[np.int64], Tensor]:
    """Edges (2, M) by their first, then their second end, and the order that sorts them."""
    import torch

    order = np.lexsort((edges[1], edges[0]))
    return np.ascontiguousarray(edges[:, order]), torch.from_numpy(order)
