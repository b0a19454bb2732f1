"""Stage 1 (method, section 7, test 3)."""

import pytest
import torch

from hmgdm_plugin.model.autoencoder import EntityAutoencoder
from hmgdm_plugin.schema.errors import InputError
from hmgdm_plugin.schema.settings import AutoencoderSettings

SMALL = AutoencoderSettings(channels=16, latent_channels=16)


def windows(count: int, side: int = 16, seed: int = 0) -> torch.Tensor:
    """Smooth coloured blobs with a disc as mask and a constant fill outside: (count, 4, side, side) uint8."""
    draw = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 4, 4, generator=draw)
    rgb = torch.nn.functional.interpolate(coarse, size=side, mode="bicubic", align_corners=False).clamp(0, 1)
    y, x = torch.meshgrid(*(torch.linspace(-1, 1, side) for _ in range(2)), indexing="ij")
    radius = 0.4 + 0.5 * torch.rand(count, 1, 1, 1, generator=draw)
    mask = ((x.square() + y.square()).sqrt() < radius).float()
    return (torch.cat([torch.where(mask > 0, rgb, 0.8), mask], dim=1) * 255).round().to(torch.uint8)


def test_03_default_size_is_as_specified():
    model = EntityAutoencoder(AutoencoderSettings())
    assert model.latent_dim == 256
    assert model.latent_shape == (16, 4, 4)
    assert 0.55e6 < sum(p.numel() for p in model.parameters()) < 0.75e6


@pytest.mark.parametrize(("side", "dim"), [(16, 4), (32, 16), (48, 36), (64, 64)])
def test_03_any_stored_side_works(side, dim):
    model = EntityAutoencoder(AutoencoderSettings(channels=8, latent_channels=1), side).eval()
    batch = windows(2, side)
    assert model.encode(batch).shape == (2, dim)
    assert model.decode(model.encode(batch)).shape == (2, 4, side, side)
    assert model.encode(batch[:0]).shape == (0, dim)


def test_03_a_side_that_is_no_multiple_of_8_names_the_fix():
    with pytest.raises(InputError, match="stored_px = 36"):
        EntityAutoencoder(SMALL, 36)


def test_03_overfits_a_few_windows():
    model, batch = EntityAutoencoder(SMALL, 16), windows(8)
    optimiser = torch.optim.Adam(model.parameters(), lr=4e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-2, total_steps=400)
    for _ in range(400):
        optimiser.zero_grad()
        model.loss(batch)["total"].backward()
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        painted, truth = model.eval().decode(model.encode(batch)), batch.float() / 255
    inside = truth[:, 3:].expand(-1, 3, -1, -1) > 0.5
    error = (painted[:, :3] - truth[:, :3])[inside].square().mean()
    assert -10 * error.log10() > 30
    assert (painted[:, 3] - truth[:, 3]).abs().mean() < 0.02


def test_03_loss_is_what_the_method_says():
    model = EntityAutoencoder(SMALL.model_copy(update={"kl_weight": 0.01, "mask_weight": 0.5}), 16).eval()
    batch = windows(5)
    out, losses, truth = model(batch), model.loss(batch), batch.float() / 255
    mask = truth[:, 3]
    error = (out.reconstruction - truth).abs()
    rgb = torch.stack([error[k, :3][:, mask[k] > 0.5].mean() for k in range(5)]).mean()
    kl = torch.distributions.kl_divergence(
        torch.distributions.Normal(out.mean, (0.5 * out.log_var).exp()), torch.distributions.Normal(0.0, 1.0)
    )
    torch.testing.assert_close(losses["rgb"], rgb)
    torch.testing.assert_close(losses["kl"], kl.sum(1).mean())
    assert losses["kl"] >= 0
    expected = rgb + 0.5 * error[:, 3].mean() + 0.01 * kl.sum(1).mean()
    torch.testing.assert_close(losses["total"], expected)


def test_03_windows_without_foreground_are_harmless():
    model, batch = EntityAutoencoder(SMALL, 16), windows(3)
    batch[1, 3] = 0
    losses = model.loss(batch)
    losses["total"].backward()
    assert losses["total"].isfinite()
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_03_bytes_and_fractions_are_the_same():
    model, batch = EntityAutoencoder(SMALL, 16).eval(), windows(3)
    assert torch.equal(model.encode(batch), model.encode(batch.float() / 255))


def test_03_samples_in_training_follow_the_generator_and_means_do_not_move():
    model, batch = EntityAutoencoder(SMALL, 16), windows(3)
    passes = [model(batch, torch.Generator().manual_seed(seed)).reconstruction for seed in (1, 1, 2)]
    assert torch.equal(passes[0], passes[1])
    assert not torch.equal(passes[0], passes[2])
    assert torch.equal(model.eval()(batch).reconstruction, model(batch).reconstruction)


def test_03_latents_are_standardised_per_channel():
    model, batch = EntityAutoencoder(SMALL, 16).eval(), windows(64)
    raw, _ = model.posterior(batch)
    painted = model.decode(model.encode(batch))
    model.fit_standardisation(raw)
    latents = model.encode(batch).view(64, *model.latent_shape)
    assert latents.mean((0, 2, 3)).abs().max() < 0.05
    torch.testing.assert_close(latents.std((0, 2, 3)), torch.ones(16), atol=0.1, rtol=0)
    torch.testing.assert_close(model.decode(model.encode(batch)), painted, atol=1e-5, rtol=0)
    scale = (raw.view(64, 16, -1) / latents.flatten(2)).std((0, 2))  # one affine map per channel, not per dimension
    offset = latents.flatten(2) * model.latent_std[:, None] + model.latent_mean[:, None]
    torch.testing.assert_close(offset, raw.view(64, 16, -1), atol=1e-5, rtol=0)
    assert scale.isfinite().all()


def test_03_a_collapsed_channel_is_not_blown_up():
    model = EntityAutoencoder(SMALL, 16)
    raw = torch.randn(200, 16, 4)
    raw[:, 3] *= 1e-5
    model.fit_standardisation(raw.flatten(1))
    assert (raw[:, 3] / model.latent_std[3]).std() < 1e-3
    assert model.latent_std[0].item() == pytest.approx(1, abs=0.1)
