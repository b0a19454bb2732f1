"""Small corpora of latent graphs on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from hmgdm_plugin.model.batch import LatentBatch
from hmgdm_plugin.training.shards import write_index, write_latents

DIM = 6


def random_graphs(vertices: list[int], seed: int, tissue: float = 0.9) -> LatentBatch:
    """Rings of `vertices` vertices whose attributes are mostly their graph's own; one vertex has no edge."""
    generator = torch.Generator().manual_seed(seed)
    edges = [0 if n < 2 else n - 1 for n in vertices]
    first = [sum(vertices[:k]) for k in range(len(vertices))]
    owner, edge_owner = (
        torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes)) for sizes in (vertices, edges)
    )
    own = torch.randn(len(vertices), DIM, generator=generator)
    u = torch.cat([first[k] + torch.arange(count) for k, count in enumerate(edges)]).long()

    def attributes(batch: torch.Tensor) -> torch.Tensor:
        noise = torch.randn(len(batch), DIM, generator=generator)
        return tissue * own[batch] + (1 - tissue**2) ** 0.5 * noise

    return LatentBatch(
        x=attributes(owner),
        edge_attr=attributes(edge_owner),
        edge_index=torch.stack([u, u + 1]),
        pos=torch.rand(len(owner), 2, generator=generator),
        edge_pos=torch.rand(len(edge_owner), 2, generator=generator),
        batch=owner,
        edge_batch=edge_owner,
        num_graphs=len(vertices),
        kind=torch.zeros(len(owner), dtype=torch.int64),
    )


@pytest.fixture
def corpus(tmp_path: Path) -> Callable[..., Path]:
    """Write shards of latent graphs: (sizes of the graphs of each shard) > their folder."""

    def write(*shards: list[int], kind: str = "latents", folder: str = "latents") -> Path:
        where = tmp_path / folder
        where.mkdir(exist_ok=True)
        for number, vertices in enumerate(shards):
            patients = [f"{kind}-{number}-{k}" for k in range(len(vertices))]
            write_latents(where / f"{kind}-{number:05d}.safetensors", random_graphs(vertices, number), patients)
        write_index(where, f"{kind}-*.safetensors")
        return where

    return write
