"""The network of StarDist in 2D: csbdeep's U-Net under a probability and `n_rays` distances.

Architecture: Schmidt et al., "Cell detection with star-convex polygons", MICCAI 2018, as stardist 0.9 builds it for
Keras. A module is named as the Keras layer that it equals; the layers before the U-Net, which Keras numbers on its own,
are ``stem_0, stem_1, …`` in their order.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, cat, nn
from torch.nn import functional as F

from ..schema.nuclei import StarDistSettings

Layer = tuple[str, int, int]  # name, channels in, channels out


class StarDistNetwork(nn.Module):
    """Probability and distances on a grid.

    Parameters
    ----------
    settings : StarDistSettings

    Shapes
    ------
    in: (B, 3, H, W) float, normalised; H and W multiples of `settings.multiple`.
    out: logit of the probability (B, H/g, W/g), distances in pixels of the image (B, R, H/g, W/g), g the grid.
    """

    def __init__(self, settings: StarDistSettings) -> None:
        super().__init__()
        self.settings = settings
        self.last = settings.unet_n_conv_per_depth - 1
        self.conv = nn.ModuleDict()
        for name, channels_in, channels_out in layers(settings):
            kernel = (1, 1) if name in ("prob", "dist") else settings.unet_kernel_size
            self.conv[name] = nn.Conv2d(channels_in, channels_out, kernel, padding="same")

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        x, number = image, 0
        for pool in stem_pools(self.settings):
            for _ in range(self.settings.unet_n_conv_per_depth):
                x = self._relu(f"stem_{number}", x)
                number += 1
            x = F.max_pool2d(x, pool)
        x = self._unet(x)  # (B, C, H/g, W/g)
        if self.settings.net_conv_after_unet:
            x = self._relu("features", x)
        return self.conv["prob"](x)[:, 0], self.conv["dist"](x)

    def _unet(self, x: Tensor) -> Tensor:
        skips = []
        for level in range(self.settings.unet_n_depth):
            for number in range(self.last + 1):
                x = self._relu(f"down_level_{level}_no_{number}", x)
            skips.append(x)
            x = F.max_pool2d(x, self.settings.unet_pool)
        x = self._block("middle_", x)
        for level in reversed(range(self.settings.unet_n_depth)):
            wide = F.interpolate(x, scale_factor=self.settings.unet_pool, mode="nearest")
            x = self._block(f"up_level_{level}_no_", cat([wide, skips[level]], 1))
        return x

    def _block(self, prefix: str, x: Tensor) -> Tensor:
        for number in block_numbers(self.last):
            x = self._relu(f"{prefix}{number}", x)
        return x

    def _relu(self, name: str, x: Tensor) -> Tensor:
        return F.relu(self.conv[name](x), inplace=not self.training)


def stem_pools(settings: StarDistSettings) -> list[tuple[int, int]]:
    """Max-pooling windows that bring an image to the grid, each after convolutions of its own."""
    pools, down, right = [], 1, 1
    while (down, right) != settings.grid:
        pool = (1 + (settings.grid[0] > down), 1 + (settings.grid[1] > right))
        pools.append(pool)
        down, right = down * pool[0], right * pool[1]
    return pools


def block_numbers(last: int) -> list[int]:
    """Numbers of the convolutions of a middle or upward block; csbdeep leaves one number out before the last."""
    return [*range(last), last + 1]


def layers(settings: StarDistSettings) -> Iterator[Layer]:
    """Every convolution of the network, from the image on."""
    width, per_depth = 3, settings.unet_n_conv_per_depth
    for number in range(per_depth * len(stem_pools(settings))):
        yield f"stem_{number}", width, settings.unet_n_filter_base
        width = settings.unet_n_filter_base
    for name, channels in _down(settings):
        yield name, width, channels
        width = channels
    for level in reversed(range(settings.unet_n_depth)):
        width += _filters(settings, level)  # the skip
        for number in block_numbers(per_depth - 1):
            channels = _filters(settings, level if number < per_depth else max(0, level - 1))
            yield f"up_level_{level}_no_{number}", width, channels
            width = channels
    if settings.net_conv_after_unet:
        yield "features", width, settings.net_conv_after_unet
        width = settings.net_conv_after_unet
    yield "prob", width, 1
    yield "dist", width, settings.n_rays


def _down(settings: StarDistSettings) -> Iterator[tuple[str, int]]:
    """Name and channels out of the downward and the middle convolutions."""
    depth, per_depth = settings.unet_n_depth, settings.unet_n_conv_per_depth
    for level in range(depth):
        for number in range(per_depth):
            yield f"down_level_{level}_no_{number}", _filters(settings, level)
    for number in block_numbers(per_depth - 1):
        yield f"middle_{number}", _filters(settings, depth if number < per_depth else max(0, depth - 1))


def _filters(settings: StarDistSettings, level: int) -> int:
    return int(settings.unet_n_filter_base * settings.unet_expansion**level)
