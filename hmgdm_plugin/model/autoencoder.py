"""Stage 1: the entity auto-encoder E_P, D_P, one for vertex and edge windows.

Three stride-2 stages bring a window of RGB + instance mask (S x S) to a latent of C x S/8 x S/8, 256 numbers for
S = 32. The objective is that of LDM's AutoencoderKL without its perceptual and adversarial terms (the paper's figure
shows neither): L1 + KL. RGB counts only where the mask is set, else the constant fill rules thin border bands; the
mask is predicted as a fourth channel. The posterior mean is the latent, standardised per channel so that unit noise
means something in stage 2.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..schema.errors import InputError
from ..schema.settings import AutoencoderSettings

STRIDE = 8  # three stages of stride 2
LEAST_STD = 0.05  # of the widest channel: a collapsed channel must not be blown up to unit variance


@dataclass(frozen=True)
class AutoencoderOutput:
    """`reconstruction` (K, 4, S, S), unbounded; `mean` and `log_var` (K, latent_dim), not standardised."""

    reconstruction: Tensor
    mean: Tensor
    log_var: Tensor


class EntityAutoencoder(nn.Module):
    """KL auto-encoder of entity windows.

    Parameters
    ----------
    settings : AutoencoderSettings
        Width, latent channels, loss weights.
    side_px : int
        Window side S, a multiple of 8.

    Shapes
    ------
    windows : (K, 4, S, S) uint8, or float in [0, 1]; channels R, G, B, mask.
    latents : (K, latent_dim), channel-major: row k is the flattened (C, S/8, S/8) map.

    Raises
    ------
    InputError
        `side_px` is not a multiple of 8.
    """

    latent_mean: Tensor
    latent_std: Tensor

    def __init__(self, settings: AutoencoderSettings, side_px: int = 32) -> None:
        super().__init__()
        if side_px < STRIDE or side_px % STRIDE:
            raise InputError(f"stored_px = {side_px}: not a multiple of {STRIDE}", "use 16, 32, 48 or 64")
        self.settings, self.side_px = settings, side_px
        self.latent_shape = (settings.latent_channels, side_px // STRIDE, side_px // STRIDE)
        self.latent_dim = settings.latent_channels * (side_px // STRIDE) ** 2
        self.encoder = _encoder(settings.channels, settings.latent_channels)
        self.decoder = _decoder(settings.channels, settings.latent_channels)
        self.register_buffer("latent_mean", torch.zeros(settings.latent_channels))
        self.register_buffer("latent_std", torch.ones(settings.latent_channels))

    def posterior(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance (K, latent_dim) of q(z | window), before standardisation."""
        mean, log_var = self.encoder(_unit(windows) * 2 - 1).float().chunk(2, dim=1)
        return mean.flatten(1), log_var.flatten(1).clamp(-30.0, 20.0)

    def forward(self, windows: Tensor, generator: torch.Generator | None = None) -> AutoencoderOutput:
        """Reconstruct `windows` from a sample of the posterior in training, from its mean otherwise."""
        mean, log_var = self.posterior(windows)
        latent = mean
        if self.training:
            latent = mean + (0.5 * log_var).exp() * _normal(mean, generator)
        return AutoencoderOutput(self._paint(latent), mean, log_var)

    def loss(self, windows: Tensor, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """Terms of the objective.

        Returns
        -------
        dict
            ``rgb``: mean L1 on the mask, per window, then over windows; ``mask``: mean L1; ``kl``: sum over
            dimensions, mean over windows; ``total`` = rgb + mask_weight * mask + kl_weight * kl.
        """
        out = self(windows, generator)
        wanted = _unit(windows)
        error = (out.reconstruction.float() - wanted).abs()
        mask = wanted[:, 3:]
        rgb = ((error[:, :3] * mask).sum((1, 2, 3)) / (3 * mask.sum((1, 2, 3))).clamp(min=1.0)).mean()
        mask_l1 = error[:, 3:].mean()
        kl = 0.5 * (out.mean.square() + out.log_var.exp() - 1 - out.log_var).sum(1).mean()
        total = rgb + self.settings.mask_weight * mask_l1 + self.settings.kl_weight * kl
        return {"total": total, "rgb": rgb, "mask": mask_l1, "kl": kl}

    def encode(self, windows: Tensor) -> Tensor:
        """Standardised posterior mean (K, latent_dim)."""
        mean, _ = self.posterior(windows)
        return (mean - self._per_dimension(self.latent_mean)) / self._per_dimension(self.latent_std)

    def decode(self, latents: Tensor) -> Tensor:
        """Windows (K, 4, S, S) in [0, 1] of standardised `latents` (K, latent_dim)."""
        raw = latents * self._per_dimension(self.latent_std) + self._per_dimension(self.latent_mean)
        return self._paint(raw).clamp(0.0, 1.0)

    def fit_standardisation(self, latents_raw: Tensor) -> None:
        """Set `latent_mean` and `latent_std` from posterior means (K, latent_dim), per channel of the spatial latent.

        Per channel and not per dimension: a dimension that carries little would be blown up to pure noise.
        """
        by_channel = latents_raw.detach().view(-1, *self.latent_shape).transpose(0, 1).flatten(1).double()
        std = by_channel.std(1, correction=0)
        floor = (LEAST_STD * std.max()).clamp(min=1e-6)
        self.latent_mean.copy_(by_channel.mean(1))
        self.latent_std.copy_(std.clamp(min=floor))

    def _paint(self, latent: Tensor) -> Tensor:
        return (self.decoder(latent.view(-1, *self.latent_shape)) + 1) / 2

    def _per_dimension(self, channel: Tensor) -> Tensor:
        return channel.repeat_interleave(self.latent_dim // channel.numel())


class ResidualBlock(nn.Module):
    """x + Conv(SiLU(GroupNorm(x))), 3 x 3."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(_groups(channels), channels)
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(K, C, H, W) to the same shape."""
        return x + self.conv(nn.functional.silu(self.norm(x)))


def _encoder(c: int, latent: int) -> nn.Sequential:
    """(K, 4, S, S) to (K, 2 * latent, S/8, S/8); the first stage is thin because it is where the pixels are."""
    return nn.Sequential(
        nn.Conv2d(4, c, 3, stride=2, padding=1),  # S/2
        nn.SiLU(),
        nn.Conv2d(c, 2 * c, 3, stride=2, padding=1),  # S/4
        ResidualBlock(2 * c),
        nn.SiLU(),
        nn.Conv2d(2 * c, 4 * c, 3, stride=2, padding=1),  # S/8
        ResidualBlock(4 * c),
        nn.GroupNorm(_groups(4 * c), 4 * c),
        nn.SiLU(),
        nn.Conv2d(4 * c, 2 * latent, 1),
    )


def _decoder(c: int, latent: int) -> nn.Sequential:
    """(K, latent, S/8, S/8) to (K, 4, S, S)."""
    return nn.Sequential(
        nn.Conv2d(latent, 4 * c, 3, padding=1),
        ResidualBlock(4 * c),
        nn.SiLU(),
        nn.ConvTranspose2d(4 * c, 2 * c, 4, stride=2, padding=1),  # S/4
        ResidualBlock(2 * c),
        nn.SiLU(),
        nn.ConvTranspose2d(2 * c, c, 4, stride=2, padding=1),  # S/2
        ResidualBlock(c),
        nn.SiLU(),
        nn.Conv2d(c, 16, 3, padding=1),
        nn.PixelShuffle(2),  # S
    )


def _groups(channels: int) -> int:
    return next(groups for groups in (8, 4, 2, 1) if channels % groups == 0)


def _unit(windows: Tensor) -> Tensor:
    return windows.float() / 255 if windows.dtype == torch.uint8 else windows


def _normal(like: Tensor, generator: torch.Generator | None) -> Tensor:
    where = generator.device if generator is not None else like.device
    return torch.randn(like.shape, generator=generator, device=where, dtype=like.dtype).to(like.device)
