"""D_L, the dynamic diffusion decoder: noisy hidden entities, restored with the encoder's levels L..1.

Each level: ``h_S += CA(LN h_S, LN(skip_l + tau(t)))``, ``h = GConv(h)`` on the whole topology, ``h += FF(LN h)``.
Above them one self-attention lets all entities of a graph, visible or hidden, see each other.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..schema.settings import DiffusionSettings
from .attention import FeedForward, GraphAttention
from .convolution import EntityConvolution
from .encoder import Encoded
from .inputs import Place
from .layers import Linear, Mlp
from .layout import Layout, Stream
from .rows import Mixture
from .slots import Pairing


class DiffusionDecoder(nn.Module):
    """Joint attention, then levels L..1.

    Parameters
    ----------
    settings : DiffusionSettings
        `hidden`, `heads`, `layers`, `edges`; `skips` = False leaves the cross-attention out.
    """

    def __init__(self, settings: DiffusionSettings) -> None:
        super().__init__()
        self.joint = JointAttention(settings.hidden, settings.heads)
        self.levels = nn.ModuleList(DecoderLevel(settings) for _ in range(settings.layers))

    def forward(
        self, encoded: Encoded, x_hidden: Tensor, f_hidden: Tensor | None, tau: Tensor, layout: Layout
    ) -> tuple[Tensor, Tensor | None]:
        """Restore tokens of hidden vertices (R, h) and edges (R', h) or None; `tau` (B, h) is the time."""
        x = torch.cat([encoded.x[-1], x_hidden])
        f = None if f_hidden is None else torch.cat([encoded.f[-1], f_hidden])
        x, f = self.joint(x, f, layout.joint)
        for level in reversed(range(len(self.levels))):
            skips = encoded.x[level], None if f is None else encoded.f[level]
            x, f = self.levels[level](x, f, skips, tau, layout, last=level == 0)
        return x, f


class DecoderLevel(nn.Module):
    """Cross-attention to one encoder level, graph convolution on the whole topology, feed-forward; all pre-norm."""

    def __init__(self, settings: DiffusionSettings) -> None:
        super().__init__()
        self.vertex = _LevelStream(settings)
        self.edge = _LevelStream(settings) if settings.edges else None
        self.convolution = EntityConvolution(settings.hidden, edges=settings.edges, gated=True)

    def forward(
        self,
        x: Tensor,
        f: Tensor | None,
        skips: tuple[Tensor, Tensor | None],
        tau: Tensor,
        layout: Layout,
        *,
        last: bool,
    ) -> tuple[Tensor, Tensor | None]:
        """All rows to all rows, or to the hidden rows alone at the `last` level, where no other is needed."""
        x = self.vertex.look(x, skips[0], tau, layout.vertices)
        if self.edge is not None and f is not None:
            f = self.edge.look(f, skips[1], tau, layout.edges)
        x, f, _ = self.convolution(x, f, layout.whole)
        x = self.vertex.feed(x[layout.vertices.present :] if last else x)
        if self.edge is not None and f is not None:
            f = self.edge.feed(f[layout.edges.present :] if last else f)
        return x, f


class _LevelStream(nn.Module):
    """Vertices' or edges' own weights in one level; the two never attend to each other here."""

    def __init__(self, settings: DiffusionSettings) -> None:
        super().__init__()
        self.query_norm = nn.LayerNorm(settings.hidden) if settings.skips else None
        self.key_norm = nn.LayerNorm(settings.hidden) if settings.skips else None
        self.cross = GraphAttention(settings.hidden, settings.heads) if settings.skips else None
        self.feed = FeedForward(settings.hidden)

    def look(self, h: Tensor, skip: Tensor | None, tau: Tensor, stream: Stream) -> Tensor:
        """Let the hidden ones of all rows (P + R, h) look at `skip` (P, h)."""
        if skip is None or self.cross is None or self.query_norm is None or self.key_norm is None:
            return h
        keys = skip + tau.index_select(0, stream.visible_batch)
        visible, hidden = h.split([stream.present, h.shape[0] - stream.present])
        seen = self.cross(hidden, keys, stream.pairing, (self.query_norm, self.key_norm))
        return torch.cat([visible, hidden + seen])


class JointAttention(nn.Module):
    """Pre-norm self-attention over all vertices and edges of each graph."""

    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(hidden)
        self.attend = GraphAttention(hidden, heads)

    def forward(self, x: Tensor, f: Tensor | None, pairing: Pairing) -> tuple[Tensor, Tensor | None]:
        """Vertex rows (N, h) and edge rows (M, h) to the same."""
        rows = x if f is None else torch.cat([x, f])
        rows = rows + self.attend(rows, rows, pairing, (self.norm, self.norm))
        if f is None:
            return rows, None
        x, f = rows.split([x.shape[0], f.shape[0]])
        return x, f


class HiddenTokens(nn.Module):
    """The decoder's input on hidden slots: embedded x_t (none for bare mask tokens), place, tau(t), a type vector."""

    def __init__(self, dim: int, settings: DiffusionSettings, *, kinds: bool) -> None:
        super().__init__()
        self.attributes = None if settings.schedule == "mask-only" else Linear(dim, settings.hidden, bias=False)
        self.token = nn.Parameter(0.02 * torch.randn(settings.hidden))
        self.place = Place(settings.hidden, position=settings.position, kinds=kinds)

    def forward(self, xt: Tensor | Mixture, pos: Tensor, kind: Tensor | None, tau: Tensor) -> Tensor:
        """(R, h) of x_t (R, d), positions (R, 2), kinds (R,), time (R, h)."""
        rows = self.token.expand(xt.shape[0], -1) if self.attributes is None else self.attributes(xt) + self.token
        return self.place(rows, pos, kind) + tau


class RestorationHead(nn.Module):
    """Decoder features (R, h) to corrections u (R, d), 0 at the start: the trivial predictor."""

    def __init__(self, hidden: int, dim: int) -> None:
        super().__init__()
        last = Linear(hidden, dim)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.layers = Mlp(nn.LayerNorm(hidden), Linear(hidden, hidden), last)

    def forward(self, h: Tensor) -> Tensor:
        """(R, h) to (R, d)."""
        return self.layers(h)

    def before_last(self, h: Tensor) -> Tensor:
        """(R, h) to what `last` takes, (R, h): the loss needs nothing wider at a time."""
        return nn.functional.gelu(self.layers.inner(h))

    @property
    def last(self) -> nn.Linear:
        """The layer to the attributes."""
        return self.layers.last
