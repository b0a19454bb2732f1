"""One tile and every importance of its entities: those that `hmgdm explain` shows, and the rivals they have to beat."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hmgdm_plugin.analysis.encode import EncodedTile
from hmgdm_plugin.analysis.faithful import Explained, explained
from hmgdm_plugin.analysis.nuclei import as_learnt
from hmgdm_plugin.graph.build import build
from hmgdm_plugin.model.batch import LatentBatch, repeated, subgraph
from hmgdm_plugin.model.heads import EPSILON, GatedHead
from hmgdm_plugin.model.hmgdm import HMGDM
from hmgdm_plugin.model.importance import evidence
from hmgdm_plugin.schema.events import Events
from hmgdm_plugin.schema.graph import batched
from hmgdm_plugin.schema.space import Tile
from hmgdm_plugin.slide.reader import open_slide
from hmgdm_plugin.training.labelled import LabelledTile
from hmgdm_plugin.zoo.card import Head
from hmgdm_plugin.zoo.load import LoadedModel

SHOWN = ("contribution", "gradient x input", "gate")
WITHOUT, SHARE, NUCLEI, AREA = "answer without it", "additive share", "nuclei", "area"

Floats = NDArray[np.float64]
Labels = NDArray[np.int32]


@dataclass(frozen=True)
class Look:
    """A tile through the encoder, and the entity under each of its pixels (S, S), a nucleus before a superpixel."""

    encoded: EncodedTile
    labels: Labels


def look(labelled: LabelledTile, model: LoadedModel, shift_px: tuple[int, int] = (0, 0)) -> Look:
    """Encode a tile; `shift_px` moves it by so many pixels of its own, right and down."""
    settings = model.card.graph
    step = labelled.side_px / settings.tile_px
    corner = labelled.x_px + shift_px[0] * step, labelled.y_px + shift_px[1] * step
    tile = Tile(*corner, labelled.side_px, settings.tile_px, settings.mpp)
    with open_slide(labelled.image, labelled.mpp) as slide:
        rgb = slide.read(tile.x_px, tile.y_px, tile.side_px, tile.size_px)
        nuclei = as_learnt(model.card, slide, [tile], Events())
    own = None if nuclei is None else nuclei.map(tile)
    graph, labels = build(rgb, tile, labelled.slide, settings, own)
    if own is not None:  # nuclei lie above the superpixels, whose numbers come first
        labels = np.where(own.labels > 0, own.labels + (graph.num_nodes - len(own) - 1), labels)
    with torch.no_grad():
        latent = model.features(batched([graph]))
        embedding = model.encoder.embed(latent)
    return Look(EncodedTile(tile, rgb, graph, None, latent, embedding.tokens(), embedding.pooled()[0]), labels)


def importances(
    seen: Look, model: LoadedModel, shown: Head, mask: NDArray[np.bool_] | None = None
) -> tuple[Explained, dict[str, Floats]]:
    """What `hmgdm explain` says for the head `shown` (its likeliest class), and scores (N,) of the entities by method.

    `mask` (S, S): nuclear pixels, of which the order by nuclear share is made.
    """
    said = explained(seen.encoded, model, shown, -1)
    found = {name: said.order(name) for name in SHOWN}
    found[WITHOUT] = without_each(model.encoder, head_of(model, shown), seen.encoded.latent, said)
    pixels = np.bincount(seen.labels.ravel(), minlength=len(said.gate)).astype(np.float64)
    tokens, latent = seen.encoded.tokens, seen.encoded.latent
    part = additive_share(head_of(model, shown), tokens, latent, said.output)
    found[SHARE] = part.detach().double().numpy()
    found[AREA] = pixels
    if mask is not None:
        found[NUCLEI] = np.bincount(seen.labels.ravel(), mask.ravel(), len(pixels)) / np.maximum(pixels, 1)
    return said, found


def without_each(model: HMGDM, head: GatedHead, latent: LatentBatch, said: Explained) -> Floats:
    """By how much the evidence falls (N,) when each entity alone is taken out and the graph encoded again."""
    n = latent.x.shape[0]
    if n < 2:
        return np.zeros(n)
    with torch.no_grad():
        rest = subgraph(repeated(latent, n), ~torch.eye(n, dtype=torch.bool).flatten())
        left = head(model.embed(rest).tokens(), rest.vertices).raw
        whole = head(model.embed(latent).tokens(), latent.vertices).raw
    return (evidence(head, whole, said.output) - evidence(head, left, said.output)).double().numpy()


def additive_share(head: GatedHead, tokens: Tensor, graphs: LatentBatch, output: int) -> Tensor:
    """What each vertex (N,) adds to the `evidence` of the head's `output` in its graph through the gated pooling.

    ``gate_i * relevance_i``, with ``relevance_i = w_mean . z_i + w_std . ((z_i - mean)^2 + eps) / std`` for tokens z_i,
    gated mean and std. The mean is linear, so its part is exact; the std is shared in proportion to each vertex's
    squared distance from the mean, weighed by its gate. A graph's contributions sum to its raw output less the bias
    and less what the amounts add, where kinds are told apart: that belongs to no vertex.
    For a class, w is the gradient of its log-odds: its own weights less those of the others, each by its share of the
    rest. So what speaks for all classes alike adds nothing; of two classes the log-odds are shared out exactly.
    """
    pooled = head.pool(tokens, graphs.vertices)
    raw = head.linear(pooled.rows())
    own = torch.zeros_like(raw[0]).index_fill(0, torch.tensor([output], device=raw.device), 1)
    direction = own.expand_as(raw)
    if head.kind == "classification":
        direction = own - raw.masked_fill(own.bool(), -torch.inf).softmax(1)
    weight, first = direction @ head.linear.weight, head.token_mean.numel()
    size, owner = pooled.z.shape[1], pooled.owner
    w_mean, w_std = (part.reshape(-1, size)[owner] for part in (weight[:, :first], weight[:, -first:]))
    spread = ((pooled.z - pooled.mean[owner]).square() + EPSILON) / pooled.std[owner]
    return pooled.gate * (pooled.z * w_mean + spread * w_std).sum(1)


def contact_curve(model: HMGDM, head: GatedHead, latent: LatentBatch, order: Tensor, output: int, steps: int) -> Floats:
    """The answer (steps + 1,) after the first k/steps of the contacts in `order` (M,) are cut, k = 0..steps."""
    values = []
    with torch.no_grad():
        for k in range(steps + 1):
            kept = order[round(k * len(order) / steps) :].sort().values
            edges = {name: getattr(latent, name)[kept] for name in ("edge_attr", "edge_pos", "edge_batch")}
            graph = replace(latent, edge_index=latent.edge_index[:, kept], **edges)
            said = head(model.embed(graph).tokens(), graph.vertices)
            values.append(float(said.value[0, output]))
    return np.array(values)


def nuclear_mask(labelled: LabelledTile, size_px: int) -> NDArray[np.bool_]:
    """Nuclear pixels (size_px, size_px) of a tile of MoNuSeg or TNBC."""
    folder = labelled.image.parent.parent
    true = labelled.labels["annotation"] != "watershed"
    path = folder / ("labels" if true else "labels_pseudo") / f"{Path(labelled.image).stem}.npz"
    instances = np.load(path, allow_pickle=False)["label"]
    step = labelled.side_px / size_px
    rows, columns = (
        np.floor(start + step * (np.arange(size_px) + 0.5)).astype(int).clip(0, size - 1)
        for start, size in zip((labelled.y_px, labelled.x_px), instances.shape, strict=True)
    )
    return instances[np.ix_(rows, columns)] > 0


def head_of(model: LoadedModel, shown: Head) -> GatedHead:
    """The head called by that spec, which must pool entities."""
    head = model.heads[shown.name]
    assert isinstance(head, GatedHead)
    return head
