"""Rivals learn something, embed tiles, and look at nothing that they must not see."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from hmgdm_plugin.evaluation.graphmae import GraphMae
from hmgdm_plugin.evaluation.pixels import CROP_PX, Pixels, quarters, write_pixels
from hmgdm_plugin.model.batch import LatentBatch
from hmgdm_plugin.schema.errors import InputError


@pytest.fixture
def tile(stained: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(stained[:256, 200:456])


def _ring(count: int, graphs: int, generator: torch.Generator) -> LatentBatch:
    """Rings of `count` vertices whose attributes go once around a circle."""
    angle = torch.arange(count) * 2 * torch.pi / count + torch.rand(graphs, 1, generator=generator) * 6
    x = torch.stack([angle.cos(), angle.sin()], dim=2).reshape(-1, 2)
    u = torch.arange(count * graphs)
    v = (u + 1) % count + u // count * count
    return LatentBatch(
        x=x,
        edge_attr=x[u],
        edge_index=torch.stack([torch.minimum(u, v), torch.maximum(u, v)]),
        pos=x,
        edge_pos=x,
        batch=u // count,
        edge_batch=u // count,
        num_graphs=graphs,
        kind=torch.zeros_like(u),
    )


def test_graphmae_learns_what_neighbours_tell() -> None:
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    model = GraphMae(2, 16)
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    errors = []
    for _ in range(160):
        error = model.error(_ring(12, 8, generator), generator)
        optimiser.zero_grad()
        error.backward()
        optimiser.step()
        errors.append(error.item())
    assert np.mean(errors[-20:]) < 0.6 * np.mean(errors[:10])
    mean, spread = model.embed(_ring(12, 3, generator))
    assert mean.shape == spread.shape == (3, 16)


def test_graphmae_does_not_see_what_it_restores() -> None:
    model = GraphMae(2, 16)
    batch = _ring(12, 2, torch.Generator().manual_seed(1)).to(dtype=torch.float32)
    batch.x.requires_grad_(True)
    coded: list[torch.Tensor] = []
    model.layers[0].register_forward_hook(lambda module, given, out: coded.append(given[0]))
    model.error(batch, torch.Generator().manual_seed(2))
    hidden = (coded[0] == model.token).all(1)
    assert int(hidden.sum()) == 12
    slope = torch.autograd.grad(coded[0].square().sum(), batch.x)[0]
    assert bool((slope[hidden] == 0).all())
    assert bool((slope[~hidden] != 0).any(1).all())


def test_pixels_are_kept_and_drawn_as_views(tmp_path: Path, tile: NDArray[np.uint8]) -> None:
    other = np.full_like(tile, 200)
    write_pixels(tmp_path / "pixels-00000.safetensors", [tile, other])
    write_pixels(tmp_path / "pixels-00001.safetensors", [other, tile])
    pixels = Pixels(tmp_path)
    assert (len(pixels), pixels.files, pixels.entities) == (4, 2, 4)
    assert (pixels.tile(3) == tile).all()
    crops = pixels.crops(np.array([0, 1, 3]), np.random.default_rng(0))
    assert crops.shape == (3, 3, CROP_PX, CROP_PX)
    assert not bool((crops[0] == crops[2]).all())  # two views of one tile
    with pytest.raises(InputError, match="no pixels"):
        Pixels(tmp_path / "images")


def test_four_crops_make_a_tile(tile: NDArray[np.uint8]) -> None:
    crops = quarters(torch.from_numpy(tile)[None])
    assert crops.shape == (1, 4, 3, CROP_PX, CROP_PX)
    whole = torch.cat([torch.cat([crops[0, 0], crops[0, 1]], 2), torch.cat([crops[0, 2], crops[0, 3]], 2)], 1)
    rgb = ((whole * 0.2 + 0.75) * 255).round().permute(1, 2, 0).to(torch.uint8)
    assert (rgb.numpy() == tile).all()


@pytest.mark.parametrize("kind", ["MaskedAutoencoder", "MaskedDiffusion", "Contrasted"])
def test_rivals_on_pixels_learn_and_embed(kind: str, tile: NDArray[np.uint8]) -> None:
    pytest.importorskip("transformers")
    from hmgdm_plugin.evaluation import simclr, vit

    torch.manual_seed(0)
    model = getattr(simclr if kind == "Contrasted" else vit, kind)()
    crops = torch.from_numpy(np.stack([tile[:128, :128], tile[128:, :128], tile[:128, 2:130], tile[126:254, :128]]))
    error = model.error(crops.permute(0, 3, 1, 2), torch.Generator().manual_seed(0))
    error.backward()
    assert error.item() > 0
    assert sum(value.grad is not None and bool((value.grad != 0).any()) for value in model.parameters()) > 20
    model.eval()
    with torch.no_grad():
        first, again = (model.embed(torch.from_numpy(np.stack([tile, tile[::-1].copy()]))) for _ in range(2))
    assert first.shape[0] == 2
    assert bool((first == again).all())
    assert not bool((first[0] == first[1]).all())
