"""H-MGDM, stage 2: a masked graph diffusion model on entity graphs.

Letters: P visible and R hidden rows of N vertices (M edges), B graphs, h width, L levels; X, F vertex and edge
features; x_t noisy attributes at step t; u the decoder's correction (see `noise`). One training step: split, noise
the hidden part, encode the visible part, restore the hidden part from both, compare.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from ..schema.errors import InputError
from ..schema.settings import DiffusionSettings
from .batch import LatentBatch
from .decoder import DiffusionDecoder, HiddenTokens, RestorationHead
from .embedded import Embedding
from .encoder import Encoded, TissueEncoder
from .inputs import TimeEmbedding, balance
from .kinds import KINDS
from .layout import Layout, Stream
from .noise import Noise
from .posterior import Posterior
from .readout import Readout
from .restored import Draw, Restored, part_weight
from .rows import Mixture
from .split import dual_split
from .topology import Topology


class HMGDM(nn.Module):
    """The masked graph diffusion model.

    Parameters
    ----------
    settings : DiffusionSettings
        Every field is one of the paper's choices or ablations.
    vertex_parts, edge_parts : tuple of int
        Sizes of the blocks of an attribute vector, such as (256, 63); blocks weigh the same in the loss.
    beside : int
        Numbers of a vertex after these, for the readout alone: what looks past an entity would tell of its hidden
        neighbours.

    Raises
    ------
    InputError
        Settings that exclude each other.

    Notes
    -----
    Method: Zhuang et al., AAAI 2025 (arXiv 2412.10482). Own parametrisation: `noise`; joint attention: `decoder`.
    """

    vertex_weight: Tensor
    edge_weight: Tensor

    def __init__(
        self,
        settings: DiffusionSettings,
        vertex_parts: tuple[int, ...],
        edge_parts: tuple[int, ...],
        beside: int = 0,
    ) -> None:
        super().__init__()
        if settings.hidden % settings.heads:
            raise InputError(
                f"diffusion: hidden = {settings.hidden} with heads = {settings.heads}",
                "make hidden a multiple of heads",
            )
        self.settings, self.width = settings, sum(vertex_parts)
        dv, de = sum(vertex_parts), sum(edge_parts)
        self.noise = Noise(settings)
        self.encoder = TissueEncoder(settings, dv, de)
        self.posterior = Posterior(settings.hidden, edges=settings.edges) if settings.kl_weight > 0 else None
        self.time = TimeEmbedding(settings.hidden)
        self.vertex_tokens = HiddenTokens(dv, settings, kinds=True)
        self.edge_tokens = HiddenTokens(de, settings, kinds=False) if settings.edges else None
        self.decoder = DiffusionDecoder(settings)
        self.vertex_head = RestorationHead(settings.hidden, dv)
        self.edge_head = RestorationHead(settings.hidden, de) if settings.edges else None
        own = dv - vertex_parts[-1]  # the last block: descriptors where there are any
        self.kinds = KINDS if settings.by_kind else 1
        size = 2 * settings.hidden, settings.readout
        read = *size, own, dv + beside, settings.arrangement, self.kinds
        self.readout = Readout(*read) if settings.readout else None
        for stream, parts in ((self.encoder.vertex, vertex_parts), (self.encoder.edge, edge_parts)):
            if stream is not None and isinstance(stream.attributes, nn.Linear):
                balance(stream.attributes, parts)
        self.register_buffer("vertex_weight", part_weight(vertex_parts), persistent=False)
        self.register_buffer("edge_weight", part_weight(edge_parts), persistent=False)

    def forward(self, batch: LatentBatch, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """Losses of one training step on fresh chance from `generator`.

        Returns
        -------
        dict
            ``vertex``, ``edge``: squared error of the target, mean over dimensions of a block, blocks, entities,
            graphs; ``kl``; ``total`` = 0.5 vertex + 0.5 edge + kl_weight * kl (vertex alone without edge stream);
            ``trivial``, detached: the first two terms for the predictor that knows x_t only.
        """
        vertex, edge, kl = self.restore(batch, self.draw(batch, generator), generator)
        if edge is None:
            zero = torch.zeros_like(vertex.mean_loss)
            parts, trivial, edge_loss = vertex.mean_loss, vertex.mean_trivial, zero
        else:
            edge_loss = edge.mean_loss
            parts = 0.5 * vertex.mean_loss + 0.5 * edge_loss
            trivial = 0.5 * vertex.mean_trivial + 0.5 * edge.mean_trivial
        total = parts + self.settings.kl_weight * kl
        return {"total": total, "vertex": vertex.mean_loss, "edge": edge_loss, "kl": kl, "trivial": trivial.detach()}

    def learnt(self, batch: LatentBatch) -> LatentBatch:
        """`batch` without what stands beside the attributes for the readout alone."""
        return batch if batch.x.shape[1] == self.width else replace(batch, x=batch.x[:, : self.width].contiguous())

    def draw(self, batch: LatentBatch, generator: torch.Generator | None = None) -> Draw:
        """Draw the split, the steps and the noise of one training step."""
        settings, graphs, batch = self.settings, batch.num_graphs, self.learnt(batch)
        hide_vertices = dual_split(batch.batch, graphs, settings.vertex_mask_ratio, generator)
        hide_edges = torch.zeros_like(batch.edge_batch, dtype=torch.bool)
        if settings.edges:
            hide_edges = dual_split(batch.edge_batch, graphs, settings.edge_mask_ratio, generator)
        return Draw(
            hide_vertices,
            hide_edges,
            self.noise.draw_steps(graphs, generator),
            self.noise.draw_noise(int(hide_vertices.sum()), batch.x, generator),
            self.noise.draw_noise(int(hide_edges.sum()), batch.edge_attr, generator),
        )

    def restore(
        self, batch: LatentBatch, draw: Draw, generator: torch.Generator | None = None
    ) -> tuple[Restored, Restored | None, Tensor]:
        """Restore what `draw` hides: vertices, edges (None without edge stream), and the KL term.

        `generator` drives the sample of the stage-2 posterior, where there is one.
        """
        batch = self.learnt(batch)
        layout = Layout.of(batch, draw.hide_vertices, draw.hide_edges, with_edges=self.settings.edges)
        encoded = self.encode(batch, layout)
        kl = batch.x.new_zeros(())
        if self.posterior is not None:
            encoded, kl = self.posterior.sample(encoded, layout, batch.num_graphs, generator)
        noisy_x = self._noisy(batch.x, layout.vertices, draw.vertex_noise, draw.steps)
        noisy_f = self._noisy(batch.edge_attr, layout.edges, draw.edge_noise, draw.steps)
        x, f = self._decoded(batch, encoded, noisy_x, noisy_f, draw.steps, layout)
        vertex = Restored.of(
            self.noise,
            batch.x,
            layout.vertices,
            noisy_x,
            (x, self.vertex_head),
            draw.vertex_noise,
            draw.steps,
            self.vertex_weight,
        )
        if f is None or self.edge_head is None:
            return vertex, None, kl
        edge = Restored.of(
            self.noise,
            batch.edge_attr,
            layout.edges,
            noisy_f,
            (f, self.edge_head),
            draw.edge_noise,
            draw.steps,
            self.edge_weight,
        )
        return vertex, edge, kl

    def encode(self, batch: LatentBatch, layout: Layout) -> Encoded:
        """Encoder levels of the visible part; hidden attributes are not read."""
        return self.encoder(self.learnt(batch), layout.vertices.visible, layout.edges.visible, layout.visible)

    def decode(
        self, batch: LatentBatch, encoded: Encoded, noisy_x: Tensor, noisy_f: Tensor, steps: Tensor, layout: Layout
    ) -> tuple[Tensor, Tensor | None]:
        """Corrections u of the hidden vertices (R, dv) and edges (R', de), from x_t and the visible part."""
        x, f = self._decoded(batch, encoded, noisy_x, noisy_f, steps, layout)
        return self.vertex_head(x), None if f is None or self.edge_head is None else self.edge_head(f)

    def _decoded(
        self,
        batch: LatentBatch,
        encoded: Encoded,
        noisy_x: Tensor | Mixture,
        noisy_f: Tensor | Mixture,
        steps: Tensor,
        layout: Layout,
    ) -> tuple[Tensor, Tensor | None]:
        """What the heads take, (R, h) and (R', h)."""
        tau = self.time(steps)  # (B, h)
        v, e = layout.vertices, layout.edges
        x = self.vertex_tokens(noisy_x, batch.pos[v.hidden], batch.kind[v.hidden], tau[v.hidden_batch])
        f = None
        if self.edge_tokens is not None:
            f = self.edge_tokens(noisy_f, batch.edge_pos[e.hidden], None, tau[e.hidden_batch])
        return self.decoder(encoded, x, f, tau, layout)

    @property
    def token_size(self) -> int:
        """Numbers per entity in `Embedding.tokens`."""
        return 2 * self.settings.hidden if self.readout is None else self.readout.token_size

    @property
    def embedding_size(self) -> int:
        """Numbers per graph in `Embedding.pooled`."""
        return 2 * self.settings.hidden if self.readout is None else self.readout.embedding_size

    def embed(self, batch: LatentBatch) -> Embedding:
        """Features of every entity: no mask, no noise, posterior mean; needs no generator, draws nothing."""
        n, m = batch.x.shape[0], batch.edge_index.shape[1]
        encoded = self.encoder(self.learnt(batch), None, None, Topology.of(batch.edge_index, n, n, batch.x.dtype))
        x, f = encoded.x[-1], encoded.f[-1] if encoded.f else batch.x.new_zeros(m, self.settings.hidden)
        if self.posterior is not None:
            x, f = self.posterior.mean(x, f)
        return Embedding(x, f, encoded.x, encoded.gates, batch, self.readout)

    def _noisy(self, x0: Tensor, stream: Stream, noise: Tensor, steps: Tensor) -> Mixture:
        return self.noise.sample_rows(x0, stream.hidden, noise, steps[stream.hidden_batch])
