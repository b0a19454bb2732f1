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
        from stardist.nms import non_maximum_suppression_sparse

        probability, distance = self._answer(rgb, limits)
        inner = torch.zeros_like(probability, dtype=torch.bool)
        inner[BORDER:-BORDER, BORDER:-BORDER] = True
        rows, columns = self._cells(rgb)
        inner[rows:] = inner[:, columns:] = False
        chosen = inner & (probability > self.settings.prob_threshold)
        if not chosen.any():
            return self._nuclei(
                *(np.empty(shape, np.float32) for shape in ((0, 2), 0, (0, self.settings.network.n_rays)))
            )
        points = chosen.nonzero().cpu().numpy() * np.array(self.settings.network.grid)  # (N, 2) row, column
        points, scores, distances, _ = non_maximum_suppression_sparse(
            distance[:, chosen].T.cpu().numpy(), probability[chosen].cpu().numpy(), points,
            nms_thresh=self.settings.nms_threshold,
        )  # fmt: skip
        return self._nuclei(points, scores, distances)

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

    def _nuclei(self, points: NDArray[np.floating], scores: Floats, distances: Floats) -> Nuclei:
        from stardist.geometry.geom2d import dist_to_coord

        centres = np.ascontiguousarray(points[:, ::-1], np.float32) + np.float32(0.5)
        polygons = np.moveaxis(dist_to_coord(distances, points), 1, 2)[..., ::-1] + np.float32(0.5)
        return Nuclei(np.ascontiguousarray(polygons, np.float32), centres, np.asarray(scores, np.float32))
