"""The readout: directions that views of a tile agree on, beside the entity's own attributes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from hmgdm_plugin.model.arrangement import arrangement
from hmgdm_plugin.model.batch import subgraph
from hmgdm_plugin.model.readout import Readout
from hmgdm_plugin.schema.settings import DiffusionSettings

HIDDEN, SIZE = 6, 2


def views_of_tiles(seed: int, tiles: int = 200, views: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows that differ between tiles in feature 3 alone, a hundredth of what every view changes in all others."""
    generator = torch.Generator().manual_seed(seed)
    groups = torch.arange(tiles).repeat_interleave(views)
    rows = torch.randn(tiles * views, 2 * HIDDEN, generator=generator)
    rows[:, 3] *= 1e-3
    rows[:, 3] += 1e-2 * torch.randn(tiles, generator=generator)[groups]
    return rows, groups


def test_the_first_direction_is_what_views_agree_on():
    readout = Readout(2 * HIDDEN, SIZE, 0, 3)
    rows, groups = views_of_tiles(0)
    readout.fit(rows, groups)
    z = (rows - readout.centre) @ readout.directions
    agreed = torch.corrcoef(torch.stack([z[:, 0], rows[:, 3]]))[0, 1]
    assert agreed > 0.95
    own = z.view(200, 4, SIZE)
    assert own.mean(1).std(0)[0] > 5 * own.std(1).mean(0)[0]
    assert own.mean(1).std(0)[1] < 2 * own.std(1).mean(0)[1]


def test_what_tells_slides_apart_is_not_asked_for_where_a_slide_has_several_tiles():
    """Feature 5 differs between slides ten times as much as feature 3 between the tiles of each."""
    rows, groups = views_of_tiles(0)
    slides = groups // 10
    rows[:, 5] = 1e-3 * rows[:, 5] + 0.1 * torch.randn(20, generator=torch.Generator().manual_seed(1))[slides]
    for given, found in ((None, 5), (slides, 3), (groups, 5)):
        readout = Readout(2 * HIDDEN, SIZE, 0, 3)
        readout.fit(rows, groups, slides=given)
        z = (rows - readout.centre) @ readout.directions
        assert torch.corrcoef(torch.stack([z[:, 0], rows[:, found]]))[0, 1].abs() > 0.95


def test_without_views_the_directions_are_whitened_components():
    generator = torch.Generator().manual_seed(1)
    rows = torch.randn(500, 2 * HIDDEN, generator=generator) @ torch.randn(2 * HIDDEN, 2 * HIDDEN, generator=generator)
    readout = Readout(2 * HIDDEN, SIZE, 0, 3)
    readout.fit(rows, torch.arange(500))
    z = (rows - readout.centre) @ readout.directions
    torch.testing.assert_close(torch.cov(z.T, correction=0), torch.eye(SIZE), atol=1e-3, rtol=0)
    scaled = (rows - rows.mean(0)) / rows.std(0, correction=0)
    components = torch.linalg.svd(scaled, full_matrices=False).U[:, :SIZE]
    assert (torch.corrcoef(torch.cat([z.T, components.T]))[:SIZE, SIZE:].abs().diagonal() > 0.999).all()


def test_a_feature_that_never_changes_and_a_second_fit_change_nothing():
    rows, groups = views_of_tiles(2)
    rows[:, 5] = 7.0
    readout = Readout(2 * HIDDEN, SIZE, 0, 3)
    readout.fit(rows, groups)
    first = readout.directions.clone()
    assert first.isfinite().all()
    assert not first[5].any()
    readout.fit(rows, groups)
    assert torch.equal(first, readout.directions)
    with pytest.raises(ValueError, match="two tiles"):
        readout.fit(rows[:1], groups[:1])


def test_tokens_hold_the_last_block_of_attributes_as_it_is(graphs, model_of):
    model, batch = model_of(readout=4), graphs([8, 5])
    embedding = model.embed(batch)
    tokens, pooled = embedding.tokens(), embedding.pooled()
    assert tokens.shape == (13, model.token_size)
    assert pooled.shape == (2, model.embedding_size) == (2, 2 * tokens.shape[1])
    own = model.token_size - 4
    assert torch.equal(tokens[:, :own], batch.x[:, -own:])
    assert model.readout is not None
    torch.testing.assert_close(
        tokens[:, own:], (embedding.last_level() - model.readout.centre) @ model.readout.directions
    )
    share = (batch.area[:8] / batch.area[:8].sum())[:, None]
    mean = (share * tokens[:8]).sum(0)
    torch.testing.assert_close(pooled[0, : len(mean)], mean)
    torch.testing.assert_close(pooled[0, len(mean) :], (share * (tokens[:8] - mean).square()).sum(0).sqrt())


def test_an_embedding_ends_with_the_arrangement_of_the_first_directions(graphs, model_of):
    model, batch = model_of(readout=4, arrangement=2), graphs([30, 12])
    embedding = model.embed(batch)
    own = model.token_size - 4
    expected = arrangement(embedding.tokens()[:, own : own + 2], batch)
    assert torch.equal(embedding.pooled()[:, 2 * model.token_size :], expected)
    assert model.embedding_size == embedding.pooled().shape[1]


def test_a_readout_wider_than_the_level_is_refused():
    with pytest.raises(ValueError, match="more than twice hidden"):
        DiffusionSettings(hidden=16, heads=2, readout=33)
    with pytest.raises(ValueError, match="more than readout"):
        DiffusionSettings(readout=4, arrangement=5)


def test_kinds_have_directions_and_sums_of_their_own(graphs, model_of):
    """Nuclei are summed up apart from superpixels, and where they lie changes nothing in what these say."""
    torch.manual_seed(0)
    model, batch = model_of(readout=4, arrangement=2, by_kind=True), graphs([30, 12, 9])
    batch = replace(batch, kind=batch.kind.where(batch.batch < 2, 0))
    embedding = model.embed(batch)
    tokens, pooled, size = embedding.tokens(), embedding.pooled(), model.token_size
    assert model.readout is not None
    assert pooled.shape[1] == model.embedding_size
    for kind in (0, 1):
        own = batch.kind == kind
        expected = (embedding.last_level()[own] - model.readout.centre[kind]) @ model.readout.directions[kind]
        torch.testing.assert_close(tokens[own, -4:], expected)
        first = own & (batch.batch == 0)
        share = (batch.area[first] / batch.area[first].sum())[:, None]
        mean = (share * tokens[first]).sum(0)
        torch.testing.assert_close(pooled[0, kind * size : (kind + 1) * size], mean)
        spread = (share * (tokens[first] - mean).square()).sum(0).sqrt()
        torch.testing.assert_close(pooled[0, (2 + kind) * size : (3 + kind) * size], spread)
    assert not pooled[2, size : 2 * size].any()  # the third tile has no nuclei
    nuclei = (batch.kind == 1) & (batch.batch == 0)
    amounts = torch.stack([nuclei.sum().float().log1p(), batch.area[nuclei].sum()])
    torch.testing.assert_close(pooled[0, 4 * size : 4 * size + 2], amounts)
    tissue = batch.kind == 0
    layout = arrangement(tokens[tissue, size - 4 : size - 2], subgraph(batch, tissue))
    torch.testing.assert_close(pooled[:, 4 * size + 2 :], layout)


def test_directions_of_one_kind_leave_those_of_the_other_alone():
    readout = Readout(2 * HIDDEN, SIZE, 0, 3, kinds=2)
    before = readout.directions.clone()
    readout.fit(*views_of_tiles(0), kind=1)
    assert torch.equal(readout.directions[0], before[0])
    assert not torch.equal(readout.directions[1], before[1])
    with pytest.raises(ValueError, match="readout above 0"):
        DiffusionSettings(by_kind=True)
