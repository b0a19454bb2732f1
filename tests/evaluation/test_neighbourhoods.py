from dataclasses import replace

import numpy as np
import torch

from hmgdm_plugin.evaluation import judging
from hmgdm_plugin.evaluation.neighbourhoods import embedded, question, shuffled
from hmgdm_plugin.model.batch import LatentBatch
from hmgdm_plugin.model.segments import segment_mean

TILES, SIDE = 60, 4


def rings(count: int = TILES) -> LatentBatch:
    """Rings of 16 entities, the first half of one look and the second of another; a contact knows nothing."""
    generator = torch.Generator().manual_seed(1)
    n = SIDE**2
    ends = torch.stack([torch.arange(n), (torch.arange(n) + 1) % n]).sort(0).values
    index = torch.cat([ends + n * k for k in range(count)], dim=1)
    look = (torch.arange(n) >= n // 2).float().repeat(count)
    x = look[:, None] * 2 - 1 + 0.3 * torch.randn(n * count, 3, generator=generator)
    owner = torch.arange(count).repeat_interleave(n)
    pos = torch.rand(n * count, 2, generator=generator)
    edge = torch.randn(n * count, 2, generator=generator)
    area = torch.rand(n * count, generator=generator)
    return LatentBatch(x, edge, index, pos, pos[index].mean(0), owner, owner, count, torch.zeros_like(owner), area)


def test_shuffling_keeps_every_statistic_of_every_graph():
    real = rings(5)
    false = shuffled(real, torch.Generator().manual_seed(0))
    assert not torch.equal(real.x, false.x)
    for name in ("pos", "edge_index", "batch", "edge_batch", "edge_pos"):
        assert torch.equal(getattr(real, name), getattr(false, name))
    for k in range(5):
        rows = [torch.cat([b.x, b.area[:, None], b.kind[:, None]], 1)[b.batch == k] for b in (real, false)]
        assert torch.equal(*(r[r[:, 0].argsort()] for r in rows))  # whole rows moved, areas with them
        edges = [b.edge_attr[b.edge_batch == k] for b in (real, false)]
        assert torch.equal(*(e[e[:, 0].argsort()] for e in edges))


def test_nuclei_change_places_with_nuclei_and_superpixels_with_superpixels():
    real = rings(3)
    kind = torch.arange(SIDE**2).ge(10).long().repeat(3)
    real = replace(real, x=torch.cat([real.x, kind[:, None]], 1), kind=kind)
    ends = kind[real.edge_index].sum(0)
    real = replace(real, edge_attr=torch.cat([real.edge_attr, ends[:, None]], 1))
    false = shuffled(real, torch.Generator().manual_seed(0), share=1.0)
    assert not torch.equal(real.x, false.x)
    assert torch.equal(false.x[:, -1].long(), kind)
    assert torch.equal(false.edge_attr[:, -1].long(), ends)


def test_who_lies_beside_whom_is_known_to_those_who_look_and_chance_to_the_mean():
    def mean(batch: LatentBatch) -> torch.Tensor:
        return segment_mean(batch.x, batch.batch, batch.num_graphs)

    def contrast(batch: LatentBatch) -> torch.Tensor:
        gap = (batch.x[batch.edge_index[0]] - batch.x[batch.edge_index[1]]).abs()
        return segment_mean(gap, batch.edge_batch, batch.num_graphs)

    found = {name: embedded(embed, [rings()], share=1.0) for name, embed in (("mean", mean), ("contrast", contrast))}
    asked = question([f"p{k // 5}" for k in range(TILES)])
    answers = {name: [asked.guess(x)] for name, x in found.items()}
    rows = judging.measured(asked, answers, {name: x.shape[1] for name, x in found.items()}, "mean")
    auroc = {row.embedding: row for row in rows if row.metric == "tile AUROC"}
    assert auroc["contrast"].score.low > 0.95
    assert auroc["contrast"].difference.low > 0.3
    assert np.isclose(auroc["mean"].score.value, 0.5, atol=0.1)
