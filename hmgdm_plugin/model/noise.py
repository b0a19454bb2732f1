r"""Forward noising q and what is predicted from it.

With :math:`\bar\alpha_t=\prod_{s\le t}(1-\beta_s)`, on hidden slots only:
:math:`x_t=\sqrt{\bar\alpha_t}\,x_0+\sqrt{1-\bar\alpha_t}\,\epsilon`.
Every target is :math:`y=p_t x_0+q_t\epsilon`: (1, 0) for ``x0``, (0, 1) for ``eps``, and for ``step`` the DDIM
increment :math:`x_{t-1}-x_t` divided by the norm of its two coefficients (about 1e-3, else it drowns).

The network gives a correction u of unit scale, :math:`\hat x_0=\sqrt{\bar\alpha_t}x_t+\sqrt{1-\bar\alpha_t}u` and
:math:`\hat\epsilon=\sqrt{1-\bar\alpha_t}x_t-\sqrt{\bar\alpha_t}u`: u = 0 is the best linear denoiser without context
("trivial"), so that copying x_t need not be learnt (Karras et al. 2022, preconditioning; Salimans and Ho 2022, v).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..schema.errors import InputError
from ..schema.settings import DiffusionSettings
from .rows import Mixture, squared_distance

BETA_MIN, BETA_MAX, REFERENCE_STEPS = 1e-7, 2e-3, 1000


class Noise(nn.Module):
    """Schedule, time, noising, targets and their inversions.

    Parameters
    ----------
    settings : DiffusionSettings
        `steps`, `schedule`, `target`, `noise`, `fixed_step`.

    Shapes
    ------
    x, eps, u, y : (R, d) rows; t : (R,) int64 step of each row; (B,) where steps are drawn.

    Raises
    ------
    InputError
        `fixed_step` lies outside the schedule, or bare mask tokens are to predict noise that they never saw.
    """

    signal: Tensor
    sigma: Tensor
    target_x0: Tensor
    target_eps: Tensor
    target_norm: Tensor
    loss_weight: Tensor

    def __init__(self, settings: DiffusionSettings) -> None:
        super().__init__()
        self.steps = settings.steps
        self.masked = settings.schedule == "mask-only"
        _check(settings)
        self.fixed = settings.fixed_step if settings.noise == "fixed" else None
        if self.masked:
            self.fixed = settings.steps - 1  # nothing is noised: a random step would be a random input
        alpha_bar = cumulative_signal(settings.steps, settings.schedule)
        p, q, norm = _targets(alpha_bar, settings.target)
        signal, sigma = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
        values = {"signal": signal, "sigma": sigma, "target_x0": p, "target_eps": q, "target_norm": norm}
        values["loss_weight"] = (p * sigma - q * signal).square()
        for name, value in values.items():
            self.register_buffer(name, value.float(), persistent=False)

    def draw_steps(self, num_graphs: int, generator: torch.Generator | None = None) -> Tensor:
        """One step per graph (B,), antithetic: graph B//2 + 1 + i has T - 1 - t of graph i; or the fixed step."""
        if self.fixed is not None:
            return torch.full((num_graphs,), self.fixed, device=self.signal.device)
        where = generator.device if generator is not None else self.signal.device
        half = torch.randint(self.steps, (num_graphs // 2 + 1,), generator=generator, device=where)
        return torch.cat([half, self.steps - 1 - half])[:num_graphs].to(self.signal.device)

    def draw_noise(self, rows: int, like: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Unit noise (rows, d) for rows of `like` (N, d); zeros where only mask tokens are used."""
        shape = (rows, like.shape[1])
        if self.masked:
            return like.new_zeros(shape)
        where = generator.device if generator is not None else like.device
        return torch.randn(shape, generator=generator, device=where, dtype=like.dtype).to(like.device)

    def sample(self, x0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """x_t."""
        return _at(self.signal, t) * x0 + _at(self.sigma, t) * eps

    def sample_rows(self, x0: Tensor, rows: Tensor, eps: Tensor, t: Tensor) -> Mixture:
        """x_t of the `rows` (R,) of `x0` (N, d), for eps (R, d) and t (R,)."""
        return Mixture(x0, rows, eps, _at(self.signal, t), _at(self.sigma, t))

    def distances(
        self, h: Tensor, last: nn.Linear, x0: Tensor, rows: Tensor, eps: Tensor, t: Tensor, weight: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Squared distances (R,) of ``last(h)``, and of 0, from the `correction` u of the `rows` (R,) of `x0` (N, d).

        Dimensions count by `weight` (d,); differentiable in h (R, h) and `last` alone.
        """
        return squared_distance(h, last, x0, rows, eps, _at(self.sigma, t), -_at(self.signal, t), weight)

    def target(self, x0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """What is to be predicted, y."""
        return _at(self.target_x0, t) * x0 + _at(self.target_eps, t) * eps

    def correction(self, x0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """The u that restores x_0 exactly; squared errors of y are ``loss_weight[t]`` times those of u."""
        return _at(self.sigma, t) * x0 - _at(self.signal, t) * eps

    def clean(self, xt: Tensor, u: Tensor, t: Tensor) -> Tensor:
        """Estimate of x_0 from the correction `u`."""
        return _at(self.signal, t) * xt + _at(self.sigma, t) * u

    def prediction(self, xt: Tensor, u: Tensor, t: Tensor) -> Tensor:
        """Estimate of the target y from the correction `u`."""
        eps = _at(self.sigma, t) * xt - _at(self.signal, t) * u
        return self.target(self.clean(xt, u, t), eps, t)

    def invert(self, xt: Tensor, y: Tensor, t: Tensor) -> Tensor:
        """x_0 from x_t and the target y; undefined for ``eps`` where no signal is left."""
        signal, sigma = _at(self.signal, t), _at(self.sigma, t)
        p, q = _at(self.target_x0, t), _at(self.target_eps, t)
        return (sigma * y - q * xt) / (sigma * p - q * signal)

    def previous(self, xt: Tensor, x0: Tensor, t: Tensor) -> Tensor:
        """One deterministic DDIM step: x_{t-1} from x_t and an estimate of x_0; x_0 itself at t = 0."""
        eps = (xt - _at(self.signal, t) * x0) / _at(self.sigma, t)
        before = (t - 1).clamp(min=0)
        stepped = _at(self.signal, before) * x0 + _at(self.sigma, before) * eps
        return torch.where((t == 0)[:, None], x0, stepped)


def cumulative_signal(steps: int, schedule: str) -> Tensor:
    """Share of signal variance left after each step, (T,) float64.

    ``sigmoid``: beta from 1e-7 to 2e-3 along sigmoid(-6..6), for T = 1000; another T counts each
    step 1000 / T times, so that the end stays the same. ``zero-terminal-snr``: the same, rescaled to end at 0
    (Lin et al. 2024). ``mask-only``: 0 everywhere.
    """
    if schedule == "mask-only":
        return torch.zeros(steps, dtype=torch.float64)
    slope = torch.linspace(-6.0, 6.0, steps, dtype=torch.float64).sigmoid()
    beta = BETA_MIN + (BETA_MAX - BETA_MIN) * slope
    alpha_bar = ((-beta).log1p() * (REFERENCE_STEPS / steps)).cumsum(0).exp()
    if schedule == "sigmoid":
        return alpha_bar
    root = alpha_bar.sqrt()
    return ((root - root[-1]) * root[0] / (root[0] - root[-1])).square()


def _targets(alpha_bar: Tensor, target: str) -> tuple[Tensor, Tensor, Tensor]:
    """Coefficients of x_0 and of the noise in the target, and the norm that ``step`` was divided by."""
    one, zero = torch.ones_like(alpha_bar), torch.zeros_like(alpha_bar)
    if target != "step":
        return (one, zero, one) if target == "x0" else (zero, one, one)
    before = torch.cat([one[:1], alpha_bar[:-1]])
    p = before.sqrt() - alpha_bar.sqrt()
    q = (1 - before).sqrt() - (1 - alpha_bar).sqrt()
    norm = torch.hypot(p, q)
    return p / norm, q / norm, norm


def _at(table: Tensor, t: Tensor) -> Tensor:
    """Values of `table` (T,) at steps `t` (R,), as a column."""
    return table[t][:, None]


def _check(settings: DiffusionSettings) -> None:
    if settings.noise == "fixed" and settings.fixed_step >= settings.steps:
        raise InputError(
            f"diffusion: fixed_step = {settings.fixed_step} with steps = {settings.steps}",
            f"choose fixed_step from 0 to {settings.steps - 1}",
        )
    if settings.schedule == "mask-only" and settings.target != "x0":
        raise InputError(f"diffusion: schedule 'mask-only' with target {settings.target!r}", "use target 'x0'")
