"""The queue computes equal texts once, in the order of each request, and nothing for clients that are gone."""

import asyncio
import threading

import pytest

from rlhf_losses.data.tokenization import Encoded
from rlhf_losses.errors import NonFiniteError
from rlhf_losses.serving.batching import BatchingQueue, ScoringFailedError, ServerBusyError, TextToScore
from rlhf_losses.serving.score_cache import ScoreCache, text_key
from rlhf_losses.serving.server_metrics import ServerMetrics


def text(number: int) -> TextToScore:
    """Return a text of one token."""
    return TextToScore(Encoded([number], (0,)))


class Computation:
    """Scores that are the token, with a record of the forward passes; it waits until it may go on."""

    def __init__(self, bad=()):
        self.passes, self.bad, self.go_on = [], bad, threading.Event()
        self.go_on.set()

    def __call__(self, items):
        self.go_on.wait()
        numbers = [one.text.ids[0] for one in items]
        self.passes.append(numbers)
        if set(numbers) & set(self.bad):
            raise RuntimeError("no memory")
        return [(float(number),) for number in numbers]


def run(scenario, compute, cache_size=0, max_waiting=100):
    """Run a scenario with a queue whose forward passes have at most four texts."""

    async def main():
        def divide(texts):
            return [list(range(start, min(start + 4, len(texts)))) for start in range(0, len(texts), 4)]

        queue = BatchingQueue(
            compute, divide, ScoreCache(cache_size), max_waiting, wait=0.0, observer=ServerMetrics().of("m")
        )
        async with queue.running():
            return await asyncio.wait_for(scenario(queue), timeout=20)

    return asyncio.run(main())


def test_answers_are_in_the_order_of_each_request():
    async def scenario(queue):
        return await asyncio.gather(*(queue.score([text(n), text(n + 1), text(3)], 1) for n in range(20)))

    expected = [[(float(n),), (float(n + 1),), (3.0,)] for n in range(20)]
    assert run(scenario, Computation()) == expected


def test_equal_texts_are_computed_once_while_they_wait_and_while_they_are_computed():
    compute = Computation()
    compute.go_on.clear()

    async def scenario(queue):
        first = [asyncio.create_task(queue.score([text(7), text(7)], 1)) for _ in range(5)]
        await asyncio.sleep(0.05)
        second = asyncio.create_task(queue.score([text(7)], 1))
        await asyncio.sleep(0.05)
        compute.go_on.set()
        return await asyncio.gather(*first, second)

    assert run(scenario, compute) == [[(7.0,), (7.0,)]] * 5 + [[(7.0,)]]
    assert compute.passes == [[7]]


@pytest.mark.parametrize(("size", "passes"), [(0, [[1], [1]]), (1, [[1]])])
def test_recent_scores_are_kept(size, passes):
    compute = Computation()

    async def scenario(queue):
        return [await queue.score([text(1)], 1) for _ in range(2)]

    assert run(scenario, compute, cache_size=size) == [[(1.0,)]] * 2
    assert compute.passes == passes


def test_a_text_that_fails_does_not_lose_the_others():
    async def scenario(queue):
        return await queue.score([text(n) for n in range(4)], 1)

    found = run(scenario, Computation(bad=[2]))
    assert [found[0], found[1], found[3]] == [(0.0,), (1.0,), (3.0,)]
    assert isinstance(found[2], ScoringFailedError)


def test_texts_whose_client_is_gone_are_not_computed():
    compute = Computation()
    compute.go_on.clear()

    async def scenario(queue):
        running = asyncio.create_task(queue.score([text(1)], 1))
        await asyncio.sleep(0.05)
        leaving = asyncio.create_task(queue.score([text(2), text(3)], 1))
        staying = asyncio.create_task(queue.score([text(3)], 1))
        await asyncio.sleep(0.05)
        leaving.cancel()
        await asyncio.sleep(0.05)
        compute.go_on.set()
        return await asyncio.gather(running, staying)

    assert run(scenario, compute) == [[(1.0,)], [(3.0,)]]
    assert compute.passes == [[1], [3]]


def test_a_full_queue_is_waited_for_and_then_refuses():
    compute = Computation()
    compute.go_on.clear()

    async def scenario(queue):
        first = asyncio.create_task(queue.score([text(1)], 1))
        await asyncio.sleep(0.05)
        full = asyncio.create_task(queue.score([text(2), text(3)], 1))
        await asyncio.sleep(0.05)
        patient = asyncio.create_task(queue.score([text(4)], None))
        with pytest.raises(ServerBusyError, match=r"full for 0\.1 seconds"):
            await queue.score([text(5)], 0.1)
        assert not patient.done()
        compute.go_on.set()
        return await asyncio.gather(first, full, patient)

    assert run(scenario, compute, max_waiting=2) == [[(1.0,)], [(2.0,), (3.0,)], [(4.0,)]]


def test_a_text_without_a_finite_score_has_a_reason_instead():
    def compute(items):
        return [NonFiniteError("too large") if one.text.ids[0] == 1 else (0.0,) for one in items]

    async def scenario(queue):
        return await queue.score([text(0), text(1)], 1)

    found = run(scenario, compute, cache_size=10)
    assert found[0] == (0.0,)
    assert isinstance(found[1], NonFiniteError)


def test_keys_differ_if_scores_can_differ():
    texts = [
        (Encoded([1, 2], (1,)), True),
        (Encoded([1, 2], (1,)), False),
        (Encoded([1, 2], (0, 1)), True),
        (Encoded([1, 2], (1,), prompt=(0, 1)), True),
        (Encoded([1, 2, 1], (2,)), True),
    ]
    assert len({text_key(*one) for one in texts}) == len(texts)
    assert text_key(*texts[0]) == text_key(Encoded([1, 2], (1,)), True)
