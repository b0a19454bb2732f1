"""Split, schedule, noising and targets (method, section 7, tests 4 to 7)."""

import pytest
import torch
from scipy.stats import chisquare

from hmgdm_plugin.model.layout import Stream
from hmgdm_plugin.model.noise import Noise, cumulative_signal
from hmgdm_plugin.model.split import dual_split
from hmgdm_plugin.schema.errors import InputError
from hmgdm_plugin.schema.settings import DiffusionSettings

SCHEDULES = ("sigmoid", "zero-terminal-snr")


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ids(sizes: list[int]) -> torch.Tensor:
    return torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))


@pytest.mark.parametrize("ratio", [0.1, 0.29, 0.6, 0.95])
def test_04_split_hides_the_clamped_share_of_every_graph(ratio):
    sizes = [*range(1, 61), 100]
    hide = dual_split(ids(sizes), len(sizes), ratio, seeded(0))
    hidden = torch.zeros(len(sizes), dtype=torch.long).index_add(0, ids(sizes), hide.long())
    from_percent = [n * round(100 * ratio) // 100 for n in sizes]  # whole numbers: no rounding of 0.29 * 100
    assert hidden.tolist() == [min(max(k, 1), n - 1) for k, n in zip(from_percent, sizes, strict=True)]


def test_04_split_tolerates_graphs_without_entities():
    hide = dual_split(torch.tensor([1, 1, 1]), 4, 0.6, seeded(0))
    assert hide.sum() == 1
    assert dual_split(torch.zeros(0, dtype=torch.long), 3, 0.6).shape == (0,)


def test_04_every_entity_is_hidden_as_often():
    graphs, n, k = 3000, 9, 5
    hide = dual_split(ids([n] * graphs), graphs, 0.6, seeded(3)).view(graphs, n)
    counts = hide.sum(0)
    # draws of k from n without replacement are negatively correlated: the statistic shrinks by (n - k) / (n - 1)
    statistic = chisquare(counts.numpy()).statistic / (1 - k / n) * (1 - 1 / n)
    assert counts.sum() == graphs * k
    assert statistic < 26.1  # chi2 with 8 degrees of freedom, p = 0.001


def test_04_split_follows_its_generator_only():
    batch = ids([20, 30])
    torch.manual_seed(5)
    first = dual_split(batch, 2, 0.6, seeded(7))
    torch.manual_seed(6)
    assert torch.equal(first, dual_split(batch, 2, 0.6, seeded(7)))
    assert not torch.equal(first, dual_split(batch, 2, 0.6, seeded(8)))


def test_04_visible_and_hidden_partition_the_batch():
    batch = ids([5, 9, 2])
    hide = dual_split(batch, 3, 0.6, seeded(1))
    stream = Stream.of(hide, batch, 3)
    assert torch.equal(torch.cat([stream.visible, stream.hidden]).sort().values, torch.arange(16))
    assert hide[stream.hidden].all()
    assert not hide[stream.visible].any()
    assert torch.equal(stream.hidden_batch, batch[hide])


def test_05_signal_has_the_published_values():
    signal = cumulative_signal(1000, "sigmoid")
    wanted = {0: 0.999995, 99: 0.99904, 249: 0.99235, 499: 0.8913, 749: 0.6017, 899: 0.4486, 999: 0.3676}
    for t, value in wanted.items():
        assert signal[t].item() == pytest.approx(value, abs=1e-4)
    assert (signal.diff() < 0).all()
    assert 0 < signal.min() <= signal.max() <= 1
    beta = 1 - signal / torch.cat([signal.new_ones(1), signal[:-1]])
    assert beta.sum().item() == pytest.approx(1.00005, abs=1e-5)


@pytest.mark.parametrize("steps", [2, 10, 100, 1000])
def test_05_number_of_steps_does_not_move_the_end(steps):
    assert cumulative_signal(steps, "sigmoid")[-1].item() == pytest.approx(0.3676, abs=1e-3)
    assert cumulative_signal(steps, "zero-terminal-snr")[-1].item() == pytest.approx(0, abs=1e-12)
    assert (cumulative_signal(steps, "zero-terminal-snr").diff() < 0).all()


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_05_float32_tables_agree_with_float64(schedule):
    noise, exact = Noise(DiffusionSettings(schedule=schedule)), cumulative_signal(1000, schedule)
    torch.testing.assert_close(noise.signal.double(), exact.sqrt(), atol=1e-7, rtol=0)
    torch.testing.assert_close(noise.sigma.double(), (1 - exact).sqrt(), atol=1e-7, rtol=1e-6)


def test_05_tables_are_not_saved():
    assert not Noise(DiffusionSettings()).state_dict()


def test_06_noising_has_the_right_moments():
    noise, draws = Noise(DiffusionSettings()), 20_000
    x0 = torch.tensor([[1.5, -0.7]]).expand(draws, 2)
    for t in (0, 499, 999):
        xt = noise.sample(x0, torch.randn(draws, 2, generator=seeded(t)), torch.full((draws,), t))
        share = cumulative_signal(1000, "sigmoid")[t].item()
        torch.testing.assert_close(xt.mean(0), x0[0] * share**0.5, atol=0.03, rtol=0)
        torch.testing.assert_close(xt.var(0), torch.full((2,), 1 - share), atol=0.03, rtol=0)
    at_start = noise.sample(x0, torch.ones_like(x0), torch.zeros(draws, dtype=torch.long))
    assert (at_start - x0).abs().max() < 3e-3


@pytest.mark.parametrize("graphs", [1, 2, 7, 16])
def test_06_steps_are_antithetic(graphs):
    steps = Noise(DiffusionSettings()).draw_steps(graphs, seeded(2))
    half = graphs // 2 + 1
    assert steps.shape == (graphs,)
    assert (steps[half:] + steps[: graphs - half] == 999).all()


def test_06_fixed_noise_is_one_step():
    assert Noise(DiffusionSettings(noise="fixed", fixed_step=321)).draw_steps(3).tolist() == [321] * 3


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_07_step_target_is_ddim_identity(schedule):
    noise = Noise(DiffusionSettings(target="step", schedule=schedule)).double()
    x0, eps = torch.randn(998, 3, dtype=torch.float64), torch.randn(998, 3, dtype=torch.float64)
    t = torch.arange(1, 999)
    xt, before = noise.sample(x0, eps, t), noise.sample(x0, eps, t - 1)
    step = noise.target(x0, eps, t) * noise.target_norm[t][:, None]
    torch.testing.assert_close(xt + step, before, atol=1e-6, rtol=0)
    torch.testing.assert_close(noise.previous(xt, x0, t), before, atol=1e-6, rtol=0)


def test_07_step_target_has_unit_scale():
    noise = Noise(DiffusionSettings(target="step"))
    x0, eps = torch.randn(10_000, 1), torch.randn(10_000, 1)
    assert noise.target(x0, eps, torch.full((10_000,), 500)).std().item() == pytest.approx(1, abs=0.03)
    assert noise.target_norm[500].item() == pytest.approx((4.7e-4**2 + 1.35e-3**2) ** 0.5, rel=0.02)


@pytest.mark.parametrize("target", ["x0", "eps", "step"])
@pytest.mark.parametrize("t", [0, 1, 250, 998])
def test_07_targets_are_inverted(target, t):
    noise = Noise(DiffusionSettings(target=target))
    x0, eps = torch.randn(50, 4), torch.randn(50, 4)
    steps = torch.full((50,), t)
    xt = noise.sample(x0, eps, steps)
    torch.testing.assert_close(noise.invert(xt, noise.target(x0, eps, steps), steps), x0, atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("target", ["x0", "eps", "step"])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_07_the_right_correction_predicts_the_target_and_the_clean_value(target, schedule):
    noise = Noise(DiffusionSettings(target=target, schedule=schedule)).double()
    x0, eps = torch.randn(1000, 4, dtype=torch.float64), torch.randn(1000, 4, dtype=torch.float64)
    t = torch.arange(1000)
    xt = noise.sample(x0, eps, t)
    u = noise.correction(x0, eps, t)
    torch.testing.assert_close(noise.clean(xt, u, t), x0, atol=1e-6, rtol=0)
    torch.testing.assert_close(noise.prediction(xt, u, t), noise.target(x0, eps, t), atol=1e-6, rtol=0)


@pytest.mark.parametrize("target", ["x0", "eps", "step"])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_07_errors_of_the_target_are_weighted_errors_of_the_correction(target, schedule):
    noise = Noise(DiffusionSettings(target=target, schedule=schedule)).double()
    x0, eps, u = torch.randn(3, 1000, 4, dtype=torch.float64)
    t = torch.arange(1000)
    error = noise.prediction(noise.sample(x0, eps, t), u, t) - noise.target(x0, eps, t)
    wanted = noise.loss_weight[t][:, None] * (u - noise.correction(x0, eps, t)).square()
    torch.testing.assert_close(error.square(), wanted, atol=1e-5, rtol=0)


def test_07_last_ddim_step_lands_on_the_estimate():
    noise = Noise(DiffusionSettings())
    x0 = torch.randn(3, 2)
    assert torch.equal(noise.previous(torch.randn(3, 2), x0, torch.zeros(3, dtype=torch.long)), x0)


def test_mask_only_shows_nothing_of_the_target():
    noise = Noise(DiffusionSettings(schedule="mask-only"))
    t = noise.draw_steps(4, seeded(0))
    x0, u = torch.randn(4, 3), torch.randn(4, 3)
    xt = noise.sample(x0, noise.draw_noise(4, x0, seeded(0)), t)
    assert not xt.any()
    assert t.tolist() == [999] * 4
    assert torch.equal(noise.clean(xt, u, t), u)


@pytest.mark.parametrize(
    "wrong", [{"noise": "fixed", "fixed_step": 20, "steps": 20}, {"schedule": "mask-only", "target": "eps"}]
)
def test_settings_that_exclude_each_other_name_the_fix(wrong):
    with pytest.raises(InputError, match="diffusion: "):
        Noise(DiffusionSettings(**wrong))
