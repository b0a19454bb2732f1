"""`build`: one tile's pixels to its entity graph; the same tile and settings give the same graph, bit for bit."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..schema.graph import TISSUE, EntityGraph
from ..schema.settings import GraphSettings
from ..schema.space import Tile
from .adjacency import bands, edge_list, regions
from .colour import blur, planes_of
from .descriptors import describe, planes_for
from .merging import merge
from .superpixels import slic
from .windows import cut_windows

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


def build(rgb: NDArray[np.uint8], tile: Tile, slide: str, settings: GraphSettings) -> tuple[EntityGraph, Labels]:
    """Turn the pixels of `tile` into its entity graph.

    Parameters
    ----------
    rgb : (S, S, 3) uint8
        The tile's image at the settings' microns per pixel.
    tile : Tile
        Where the image lies; positions of the graph are level-0 pixels.
    slide : str
        Name of the slide, kept in the graph.

    Returns
    -------
    graph : EntityGraph
        Fields as `schema.graph` lists them.
    labels : (S, S) int32
        Entity under every pixel, in the order of the graph's vertices.
    """
    import torch

    rgb = np.ascontiguousarray(rgb)
    planes = planes_of(rgb)
    labels, count = partition(rgb, planes, settings)
    edges = edge_list(labels, count)
    smooth, coded = planes_for(rgb, planes)
    fields = {}
    for key, where, desc, area, members in (
        ("x", "pos", "desc", "area", regions(labels, count)),
        ("edge_attr", "edge_pos", "edge_desc", "edge_area", bands(labels, edges, count, settings.band_px)),
    ):
        windows, centres = cut_windows(rgb, members, settings.window_px, settings.stored_px, settings.fill_rgb)
        fields[key] = torch.from_numpy(windows)
        fields[where] = torch.from_numpy(tile.to_slide(centres).astype(np.float32))
        fields[area] = torch.from_numpy(np.diff(members.offsets).astype(np.float32) / labels.size)
        fields[desc] = torch.from_numpy(describe(smooth, coded, members))
    graph = EntityGraph(
        **fields,
        edge_index=torch.from_numpy(edges),
        kind=torch.full((count,), TISSUE, dtype=torch.uint8),
        slide=slide,
        tile=torch.tensor([[tile.x_px, tile.y_px, tile.side_px]], dtype=torch.float32),
        mpp=tile.mpp,
        num_nodes=count,
    )
    return graph, labels
