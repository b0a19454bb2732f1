"""From an image to nuclei: normalise, ask the network, keep the likeliest of what overlaps.

The steps and their constants are those of stardist's `predict_instances`; candidates overlap where stardist's own
non-maximum suppression says so. What this adds are limits of normalisation from outside, so that all tiles of a slide
share one, and coordinates whose origin is the corner of the first pixel, not its centre.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from ..schema.nuclei import DetectorSettings
from .limits import histogram, limits_of

if TYPE_CHECKING:
    from torch import Tensor

    from .network import StarDistNetwork

Floats = NDArray[np.float32]
Precision = Literal["float32", "bfloat16"]
LEAST_PX = 1e-3  # stardist's least distance, without which a polygon has no area
FAR_PX = 1024  # longer than any ray
BORDER = 2  # grid cells along the border whose candidates stardist leaves out


@dataclass(frozen=True, slots=True)
class Nuclei:
    """Nuclei of an image, the most probable first; x, y in its pixels, (0, 0) the corner of the first.

    Parameters
    ----------
    polygons : (N, R, 2) float32
        Outline, one point per ray.
    centres : (N, 2) float32
        Where the rays start; inside the nucleus, not its centroid.
    probability : (N,) float32
    """

    polygons: Floats
    centres: Floats
    probability: Floats

    def __len__(self) -> int:
        return len(self.probability)

    def labels(self, shape: tuple[int, int]) -> NDArray[np.int32]:
        """Label image (H, W): nucleus k as k + 1, the more probable above; 0 is background."""
        from stardist.geometry.geom2d import polygons_to_label_coord

        order = np.arange(len(self))[::-1]
        rows_first = np.moveaxis(self.polygons[order, :, ::-1], 1, 2) - 0.5  # (N, 2, R), centres of pixels whole
        return polygons_to_label_coord(rows_first, shape, order).astype(np.int32)


@dataclass(frozen=True, slots=True)
class Candidates:
    """Cells of the grid that may be nuclei.

    Parameters
    ----------
    points : (N, 2) int64
        Row and column in pixels of the image.
    probability : (N,) float32
    distances : (N, R) float32
        In pixels along each ray.
    """

    points: NDArray[np.int64]
    probability: Floats
    distances: Floats

    def __len__(self) -> int:
        return len(self.probability)

    def taken(self, index: NDArray[np.integer] | NDArray[np.bool_]) -> Candidates:
        """Those at `index`."""
        return Candidates(self.points[index], self.probability[index], self.distances[index])


_NONE = np.empty((0, 2), np.float32), np.empty(0, np.float32)


class StarDist:
    """A trained StarDist network, ready to find nuclei.

    Parameters
    ----------
    settings : DetectorSettings
    network : StarDistNetwork
        With its weights; taken over, put into evaluation mode.
    device : torch.device or str
    precision : "float32" or "bfloat16"
        float32 answers as the stardist package does; bfloat16 is about twice as fast.
    """

    def __init__(
        self,
        settings: DetectorSettings,
        network: StarDistNetwork,
        device: torch.device | str = "cpu",
        precision: Precision = "float32",
    ) -> None:
        self.settings = settings
        self.device = torch.device(device)
        self.dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16}[precision]
        network.eval().requires_grad_(False)
        network.to(device=self.device, dtype=self.dtype)
        self.network = torch.nn.utils.convert_conv2d_weight_memory_format(network, torch.channels_last)

    def limits(self, rgb: NDArray[np.uint8]) -> Floats:
        """What becomes 0 and 1 in each channel of this image alone: (2, 3), of (H, W, 3) uint8."""
        return limits_of(histogram(rgb), self.settings.percentiles)

    def dense(self, rgb: NDArray[np.uint8], limits: Floats | None = None) -> tuple[Floats, Floats]:
        """Probability and distances on the grid.

        Parameters
        ----------
        rgb : (H, W, 3) uint8
            At the microns per pixel of the settings.
        limits : (2, 3) float, optional
            What becomes 0 and 1 in each channel; of this image by default.

        Returns
        -------
        (h, w) float32, (h, w, R) float32
            Object probability, and distance in pixels to the outline along each ray; h, w are H, W over the grid,
            rounded up.
        """
        probability, distance = self._answer(rgb, limits)
        rows, columns = self._cells(rgb)
        probability, distance = probability[:rows, :columns], distance[:, :rows, :columns]
        return probability.cpu().numpy(), distance.permute(1, 2, 0).cpu().numpy()

    def predict(self, rgb: NDArray[np.uint8], limits: Floats | None = None) -> Nuclei:
        """Nuclei of an image; parameters as `dense`. None are found in the outermost two cells of the grid."""
        return self.nuclei(kept(self.candidates(rgb, limits), self.settings.nms_threshold))

    def candidates(self, rgb: NDArray[np.uint8], limits: Floats | None = None, border: int = BORDER) -> Candidates:
        """Every cell of the grid that may be a nucleus, before overlaps are settled; none in the outermost `border`."""
        probability, distance = self._answer(rgb, limits)
        rows, columns = self._cells(rgb)
        inner = torch.zeros_like(probability, dtype=torch.bool)
        inner[border : len(inner) - border, border : inner.shape[1] - border] = True  # of what was padded, as stardist
        inner[rows:] = inner[:, columns:] = False
        chosen = inner & (probability > self.settings.prob_threshold)
        points = chosen.nonzero().cpu().numpy() * np.array(self.settings.network.grid)  # (N, 2) row, column
        return Candidates(points, probability[chosen].cpu().numpy(), distance[:, chosen].T.contiguous().cpu().numpy())

    def nuclei(self, found: Candidates) -> Nuclei:
        """Outlines of `found`."""
        from stardist.geometry.geom2d import dist_to_coord

        if not len(found):
            return Nuclei(np.empty((0, found.distances.shape[1], 2), np.float32), *_NONE)
        centres = np.ascontiguousarray(found.points[:, ::-1], np.float32) + np.float32(0.5)
        polygons = np.moveaxis(dist_to_coord(found.distances, found.points), 1, 2)[..., ::-1] + np.float32(0.5)
        return Nuclei(np.ascontiguousarray(polygons, np.float32), centres, found.probability)

    def _answer(self, rgb: NDArray[np.uint8], limits: Floats | None) -> tuple[Tensor, Tensor]:
        """Probability (h, w) and distance (R, h, w) of the padded image, float32 on the device."""
        low, high = self.limits(rgb) if limits is None else np.asarray(limits, np.float32)
        padded = self._padded(rgb)
        scale = np.maximum(high - low, 1.0)  # a channel without contrast stays without
        image = torch.from_numpy((padded.astype(np.float32) - low) / scale).to(self.device, self.dtype)
        with torch.inference_mode():
            logit, distance = self.network(image.permute(2, 0, 1)[None])
            return torch.sigmoid(logit[0].float()), distance[0].float().clamp_min(LEAST_PX)

    def _padded(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The image continued by its reflection to the right and below, to a multiple that the network takes."""
        missing = (-np.array(rgb.shape[:2])) % np.array(self.settings.network.multiple)
        return np.pad(rgb, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="reflect") if missing.any() else rgb

    def _cells(self, rgb: NDArray[np.uint8]) -> tuple[int, int]:
        """Rows and columns of the grid that lie on the image itself."""
        rows, columns = (-(-side // step) for side, step in zip(rgb.shape[:2], self.settings.network.grid, strict=True))
        return rows, columns


def kept(candidates: Candidates, threshold: float, own: NDArray[np.bool_] | None = None) -> Candidates:
    """The likeliest of what overlaps by more than `threshold` of the smaller, most probable first.

    Of equally likely ones the first in scan order counts, so the order of the candidates does not. With `own` (N,),
    only those of it are returned.
    """
    from stardist.nms import non_maximum_suppression_inds

    if not len(candidates):
        return candidates
    order = np.lexsort((candidates.points[:, 1], candidates.points[:, 0], -candidates.probability))
    best = candidates.taken(order)
    # Inside, corners are float32, then cut towards zero: let numbers be small, and positive but at the image's edge.
    near = best.points - np.maximum(best.points.min(axis=0) - FAR_PX, 0)
    stay = non_maximum_suppression_inds(best.distances, near, best.probability, threshold, verbose=0)
    return best.taken(stay if own is None else stay & own[order])
