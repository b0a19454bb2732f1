"""Calls shared out over threads: each is made once, a failure is not lost."""

import threading

import pytest
import torch

from hmgdm_plugin.model import threads


@pytest.fixture(params=["torch's threads", "own threads"])
def kind(request, monkeypatch):
    if request.param == "own threads":
        monkeypatch.setattr(threads, "_torchs", lambda: None)
    elif threads._torchs() is None:
        pytest.skip("no GNU OpenMP")


@pytest.mark.usefixtures("kind")
@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_every_call_is_made_once(count):
    made = []
    threads.together([lambda number=number: made.append(number) for number in range(count)])
    assert sorted(made) == list(range(count))


@pytest.mark.usefixtures("kind")
def test_calls_are_made_at_a_time():
    both = threading.Barrier(2, timeout=20)
    threads.together([both.wait, both.wait])


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.usefixtures("kind")
def test_a_call_that_fails_is_an_error():
    with pytest.raises((RuntimeError, ZeroDivisionError)):
        threads.together([lambda: None, lambda: 1 / 0])


def test_torchs_threads_go_on_working_for_torch():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        threads.together([lambda: None, lambda: None])
        rows = torch.randn(400_000)
        torch.testing.assert_close(rows.double().sum().float(), rows.sum(), atol=1e-1, rtol=1e-4)
    finally:
        torch.set_num_threads(before)
