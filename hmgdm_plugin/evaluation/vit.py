"""MAE and a DiffMAE-like rival on pixels, both on ViT-tiny as transformers has it.

MAE (He et al. 2022): three of four patches are hidden, a small decoder restores them. DiffMAE (Wei et al. 2023): the
decoder sees what noise of a random intensity has left of the hidden patches, and restores the clean ones. Here the
decoder attends to all patches at once, where DiffMAE's own alternates between its own and the visible ones.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..model.inputs import TimeEmbedding
from .pixels import CROP_PX, normalised, quarters

PATCH_PX, PATCHES = 16, (CROP_PX // 16) ** 2
WIDTH, DEPTH, HEADS = 192, 12, 3  # ViT-tiny
DECODER, DECODER_DEPTH, DECODER_HEADS = 128, 2, 4
HIDDEN = 0.75
STEPS = 1000


class MaskedAutoencoder(nn.Module):
    """MAE on crops."""

    def __init__(self) -> None:
        from transformers import ViTMAEConfig, ViTMAEForPreTraining

        super().__init__()
        self.mae = ViTMAEForPreTraining(
            ViTMAEConfig(
                **_tiny(HIDDEN),
                decoder_hidden_size=DECODER,
                decoder_num_hidden_layers=DECODER_DEPTH,
                decoder_num_attention_heads=DECODER_HEADS,
                decoder_intermediate_size=4 * DECODER,
                norm_pix_loss=True,
            )
        )

    def error(self, crops: Tensor, generator: torch.Generator) -> Tensor:
        """Mean squared error of the hidden patches of crops (B, 3, H, W) uint8."""
        return self.mae(normalised(crops), noise=_chance(crops, generator)).loss

    def embed(self, tiles: Tensor) -> Tensor:
        """Mean and spread of the patches of tiles (B, S, S, 3) uint8: (B, 2 WIDTH)."""
        return _embed(self.mae.vit, tiles)


class MaskedDiffusion(nn.Module):
    """The DiffMAE-like form: the same encoder, a decoder of noisy patches."""

    def __init__(self) -> None:
        from transformers import ViTMAEConfig, ViTMAEModel

        super().__init__()
        self.vit = ViTMAEModel(ViTMAEConfig(**_tiny(HIDDEN)))
        self.visible = nn.Linear(WIDTH, DECODER)
        self.noisy = nn.Linear(3 * PATCH_PX**2, DECODER)
        self.time = TimeEmbedding(DECODER)
        self.place = nn.Parameter(0.02 * torch.randn(PATCHES, DECODER))
        layer = nn.TransformerEncoderLayer(
            DECODER, DECODER_HEADS, 4 * DECODER, 0.0, "gelu", batch_first=True, norm_first=True
        )
        self.decoder = nn.TransformerEncoder(layer, DECODER_DEPTH, enable_nested_tensor=False)
        self.head = nn.Sequential(nn.LayerNorm(DECODER), nn.Linear(DECODER, 3 * PATCH_PX**2))

    def error(self, crops: Tensor, generator: torch.Generator) -> Tensor:
        """As of `MaskedAutoencoder`."""
        pixels, chance = normalised(crops), _chance(crops, generator)
        order = chance.argsort(1)  # the encoder sees the first of it
        seen = self.vit(pixels, noise=chance).last_hidden_state[:, 1:]  # (B, K, WIDTH)
        shown, hidden = order[:, : seen.shape[1]], order[:, seen.shape[1] :]
        clean = _rows(_patches(pixels), hidden)
        steps = torch.randint(STEPS, (len(crops),), generator=generator, device=crops.device)
        kept = torch.cos(steps / STEPS * torch.pi / 2)[:, None, None]  # share of the amplitude, down to none
        noise = torch.randn(clean.shape, generator=generator, device=crops.device)
        left = self.noisy(kept * clean + (1 - kept**2).sqrt() * noise) + self.time(steps)[:, None]
        tokens = torch.cat([self.visible(seen) + self.place[shown], left + self.place[hidden]], dim=1)
        restored = self.head(self.decoder(tokens)[:, seen.shape[1] :])
        return (restored - clean).square().mean()

    def embed(self, tiles: Tensor) -> Tensor:
        """As of `MaskedAutoencoder`."""
        return _embed(self.vit, tiles)


def _tiny(hidden: float) -> dict[str, float]:
    return {
        "hidden_size": WIDTH,
        "num_hidden_layers": DEPTH,
        "num_attention_heads": HEADS,
        "intermediate_size": 4 * WIDTH,
        "image_size": CROP_PX,
        "patch_size": PATCH_PX,
        "mask_ratio": hidden,
    }


def _chance(crops: Tensor, generator: torch.Generator) -> Tensor:
    return torch.rand(len(crops), PATCHES, generator=generator, device=crops.device)


def _patches(pixels: Tensor) -> Tensor:
    """Patches (B, P, 768) of pixels (B, 3, H, W), each about 0 with deviation 1."""
    cut = nn.functional.unfold(pixels, PATCH_PX, stride=PATCH_PX).transpose(1, 2)
    return (cut - cut.mean(-1, keepdim=True)) / (cut.var(-1, keepdim=True) + 1e-6).sqrt()


def _rows(values: Tensor, index: Tensor) -> Tensor:
    """Rows `index` (B, K) of values (B, P, d)."""
    return values.gather(1, index[..., None].expand(-1, -1, values.shape[-1]))


def _embed(vit: Any, tiles: Tensor) -> Tensor:
    """Mean and spread of all patches of tiles (B, S, S, 3) uint8, nothing hidden."""
    crops = quarters(tiles)
    in_order = torch.arange(PATCHES, device=tiles.device).float().expand(crops.shape[0] * crops.shape[1], -1)
    vit.embeddings.config.mask_ratio = 0.0
    seen = vit(crops.flatten(0, 1), noise=in_order).last_hidden_state[:, 1:]
    vit.embeddings.config.mask_ratio = HIDDEN
    tokens = seen.reshape(len(tiles), -1, WIDTH)
    return torch.cat([tokens.mean(1), tokens.std(1)], dim=1)
