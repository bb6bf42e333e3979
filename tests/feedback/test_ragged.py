"""Operations on segments equal the operations of torch on each segment."""

import pytest
import torch

from rlhf_losses.feedback import Ragged

SEGMENTS = Ragged(torch.tensor([3, 0, 1, 2]))
VALUES = torch.tensor([1.0, -2.0, 5.0, 7.0, 0.0, 0.5])


def parts():
    return VALUES.split(SEGMENTS.sizes.tolist())


def test_split_gives_one_vector_per_segment():
    assert [part.tolist() for part in SEGMENTS.split(VALUES)] == [part.tolist() for part in parts()]


def test_sum_and_max():
    assert SEGMENTS.sum(VALUES).tolist() == [float(part.sum()) for part in parts()]
    assert SEGMENTS.max(VALUES)[[0, 2, 3]].tolist() == [5.0, 7.0, 0.5]
    assert SEGMENTS.max(torch.tensor([-3, -2, -9, 4, -8, -7]))[[0, 2, 3]].tolist() == [-2, 4, -7]


def test_logsumexp_and_log_softmax():
    nonempty = Ragged(SEGMENTS.sizes[SEGMENTS.sizes > 0])
    expected = [part.logsumexp(0).item() for part in parts() if len(part)]
    assert nonempty.logsumexp(VALUES).tolist() == pytest.approx(expected)
    log_softmax = torch.cat([part.log_softmax(0) for part in parts()])
    torch.testing.assert_close(SEGMENTS.log_softmax(VALUES), log_softmax)


def test_logcumsumexp():
    maximum, rest = SEGMENTS.logcumsumexp(VALUES)
    torch.testing.assert_close(maximum + rest, torch.cat([part.logcumsumexp(0) for part in parts()]))
    torch.testing.assert_close(maximum, torch.cat([part.cummax(0).values for part in parts() if len(part)]))


def test_positions_and_segment_ids():
    assert SEGMENTS.segment_ids.tolist() == [0, 0, 0, 2, 3, 3]
    assert SEGMENTS.positions.tolist() == [0, 1, 2, 0, 0, 1]
    assert SEGMENTS.starts.tolist() == [0, 3, 3, 4]
    assert SEGMENTS.ends.tolist() == [3, 3, 4, 6]


def test_pairs():
    first, second = SEGMENTS.pairs()
    assert list(zip(first.tolist(), second.tolist(), strict=True)) == [(0, 1), (0, 2), (1, 2), (4, 5)]


def test_select_keeps_the_segments_of_the_selected_elements():
    assert SEGMENTS.select(VALUES > 0).sizes.tolist() == [2, 0, 1, 1]


def test_argsort():
    assert SEGMENTS.argsort(VALUES).tolist() == [1, 0, 2, 3, 4, 5]
    assert SEGMENTS.argsort(torch.zeros(6), -VALUES).tolist() == [2, 0, 1, 3, 5, 4]
    assert Ragged(torch.tensor([], dtype=torch.long)).argsort(torch.tensor([])).tolist() == []
