"""The steps of an entity graph with the library calls that come to mind first: what ours are compared with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from skimage.color import rgb2hed, rgb2lab
from skimage.feature import local_binary_pattern
from skimage.filters import sobel
from skimage.graph import merge_hierarchical, rag_mean_color
from skimage.measure import find_contours, regionprops_table
from skimage.segmentation import slic

from hmgdm_plugin.schema.settings import GraphSettings

_ACROSS = 4.0  # mean colours nearer than this are merged


def steps(rgb: NDArray[np.uint8], settings: GraphSettings) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Steps with what does them; each reads what the ones before it left."""
    kept: dict[str, Any] = {}

    def superpixels() -> None:
        kept["first"] = slic(
            rgb, settings.segments, compactness=settings.compactness, sigma=settings.blur_sigma_px, start_label=0
        )

    def adjacent() -> None:
        kept["rag"] = rag_mean_color(rgb, kept["first"])

    def merging() -> None:
        merged = merge_hierarchical(
            kept["first"], kept["rag"], _ACROSS, rag_copy=False, in_place_merge=True, merge_func=_join, weight_func=_gap
        )
        kept["labels"] = merged if merged.max() > 1 else kept["first"]

    def adjacency() -> None:
        labels, box = kept["labels"], np.ones((settings.band_px, settings.band_px), bool)
        rag = rag_mean_color(rgb, labels)
        regions = {k: labels == k for k in np.unique(labels)}
        grown = {k: ndimage.binary_dilation(mask, box) for k, mask in regions.items()}
        kept["masks"] = [*regions.values(), *(grown[u] & grown[v] for u, v in rag.edges)]

    def windows() -> None:
        for mask in kept["masks"]:
            window_of(rgb, mask, settings)

    def descriptors() -> None:
        grey = rgb.mean(axis=2)
        for points, radius in ((8, 1), (16, 2)):
            local_binary_pattern(grey.astype(np.uint8), points, radius, "uniform")
        stains = rgb2hed(rgb)
        planes = np.dstack([rgb2lab(rgb), stains[..., :2], sobel(grey)])
        planes = np.dstack([planes, *(ndimage.gaussian_filter(stains[..., 0], sigma) for sigma in (1.0, 2.5, 5.0))])
        for mask in kept["masks"]:
            regionprops_table(
                mask.astype(np.uint8), planes, properties=("area", "eccentricity", "intensity_mean", "intensity_std")
            )

    yield "superpixels", superpixels
    yield "graph of superpixels", adjacent
    yield "merging", merging
    yield "adjacency", adjacency
    yield "windows", windows
    yield "descriptors", descriptors
    yield "outlines", lambda: [outline(kept["labels"] == k) for k in np.unique(kept["labels"])]


def window_of(rgb: NDArray[np.uint8], mask: NDArray[np.bool_], settings: GraphSettings) -> NDArray[np.uint8]:
    """Masked crop around the centroid, reduced, with the mask as fourth channel."""
    half = settings.window_px // 2
    y, x = (round(float(v)) for v in ndimage.center_of_mass(mask))
    filled = np.where(mask[..., None], rgb, np.array(settings.fill_rgb, np.uint8))
    both = np.dstack([filled, 255 * mask.astype(np.uint8)])
    padded = np.pad(both, ((half, half), (half, half), (0, 0)))
    crop = Image.fromarray(padded[y : y + 2 * half, x : x + 2 * half])
    return np.asarray(crop.resize((settings.stored_px, settings.stored_px), Image.Resampling.BOX))


def outline(mask: NDArray[np.bool_]) -> shapely.Geometry:
    """Outline of one region as a valid, simplified geometry."""
    rings = [shapely.Polygon(ring[:, ::-1]) for ring in find_contours(np.pad(mask, 1), 0.5) if len(ring) > 3]
    return shapely.simplify(shapely.unary_union([shapely.make_valid(ring) for ring in rings]), 0.75)


def _gap(graph: Any, into: int, node: int, other: int) -> dict[str, float]:
    """Weight of an edge after a merger: distance of mean colours."""
    return {"weight": float(np.linalg.norm(graph.nodes[node]["mean color"] - graph.nodes[into]["mean color"]))}


def _join(graph: Any, gone: int, into: int) -> None:
    """Add one region's colours to another's."""
    kept, lost = graph.nodes[into], graph.nodes[gone]
    kept["total color"] += lost["total color"]
    kept["pixel count"] += lost["pixel count"]
    kept["mean color"] = kept["total color"] / kept["pixel count"]
