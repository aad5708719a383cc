"""Work on threads of their own, on which PyTorch uses no others."""

import threading

import pytest
import torch

from vcm_mt.numerics.threads import alone


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_each_part_is_done_once_with_one_thread_and_without_gradients():
    seen = []

    def work(number, weight):
        value = (weight * number).sum()
        seen.append((number, torch.get_num_threads(), value.requires_grad, threading.get_ident()))

    alone(work, [(n, torch.ones(3, requires_grad=True)) for n in range(6)])
    assert sorted(n for n, *_ in seen) == list(range(6))
    assert {(threads, grad) for _, threads, grad, _ in seen} == {(1, False)}
    assert threading.get_ident() not in {ident for *_, ident in seen}
    # Neither this thread nor one that starts later is left with one.
    assert torch.get_num_threads() == 2
    actual = []
    other = threading.Thread(target=lambda: actual.append(torch.get_num_threads()))
    other.start()
    other.join()
    assert actual == [2]


@pytest.mark.usefixtures("two_threads")
def test_an_error_of_one_part_is_raised_here():
    def work(number):
        if number == 2:
            raise ZeroDivisionError("the third")

    with pytest.raises(ZeroDivisionError, match="the third"):
        alone(work, [(n,) for n in range(4)])


def test_one_part_is_done_here():
    seen = []
    alone(lambda: seen.append(threading.get_ident()), [()])
    assert seen == [threading.get_ident()]
