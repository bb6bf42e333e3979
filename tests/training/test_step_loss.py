"""The shares of an optimizer step add up to its loss, for any division into forward passes and processes."""

import threading
from dataclasses import dataclass
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from rlhf_losses import bradley_terry, centering, parse_loss, segment_hinge
from rlhf_losses.data import ForwardPass, join_feedback
from rlhf_losses.feedback import Feedback, Lengths, Mixed, Pairs, Rankings, Steps
from rlhf_losses.losses import Objective
from rlhf_losses.metrics import Tally
from rlhf_losses.models.text_batch import TextBatch
from rlhf_losses.training.step_loss import StepLoss


@dataclass(frozen=True)
class ExampleRow:
    """A row of a batch: scores of its texts, feedback on them, and the weight of its prompt."""

    scores: Tensor
    feedback: Feedback
    prompt_weight: float = 1.0


def rows() -> list[ExampleRow]:
    """Return eight rows with two to five answers, ranked with ties, and steps for some of them."""
    generator = torch.Generator().manual_seed(0)
    made = []
    for index in range(8):
        count = 2 + index % 4
        parts: list[Feedback] = [
            Rankings(
                candidates=torch.arange(count), sizes=[count], ranks=[1 + (index + 2 * j) % 3 for j in range(count)]
            ),
            Lengths(torch.arange(count), torch.arange(count) + 5.0 + index),
        ]
        if index % 3:
            parts.append(Steps(steps=torch.arange(index % 3), values=torch.ones(index % 3)))
        scores = torch.randn(count, generator=generator, dtype=torch.float64)
        made.append(ExampleRow(scores, Mixed(tuple(parts)), prompt_weight=1.0 / (1 + index % 2)))
    return made


def forward_pass(chosen: list[ExampleRow]) -> ForwardPass:
    counts = torch.tensor([len(row.scores) for row in chosen], dtype=torch.long)
    return ForwardPass(
        rows=torch.arange(len(chosen)),
        texts=TextBatch({}, torch.arange(int(counts.sum()))),
        score_row=torch.arange(len(chosen)).repeat_interleave(counts),
        prompt_weight=torch.tensor([row.prompt_weight for row in chosen]),
        feedback=join_feedback(
            [row.feedback for row in chosen], counts.tolist(), feedback_types=(Rankings, Steps, Lengths)
        ),
        num_tokens=0,
    )


def scores_of(chosen: list[ExampleRow]) -> Tensor:
    return torch.cat([row.scores for row in chosen]) if chosen else torch.zeros(0, dtype=torch.float64)


def step_of(step: StepLoss, cut: list[list[ExampleRow]]) -> tuple[Tensor, list[Tensor], dict[str, Tally]]:
    """Return the sum of all shares, the gradient of each row's scores, and the tallies of all passes."""
    passes = [forward_pass(chosen) for chosen in cut]
    scores = [scores_of(chosen).requires_grad_() for chosen in cut]
    step.begin(passes)
    if step.needs_scores():
        step.measure([one.detach() for one in scores])
    parameters = [
        {name: torch.tensor(values) for name, values in term.loss.loss_parameters.items()}
        for term in step.objective.terms
    ]
    total, tallies = torch.zeros((), dtype=torch.float64), {}
    for one, pass_scores in zip(passes, scores, strict=True):
        share, counted = step.share(one, pass_scores, parameters)
        total = total + share
        tallies = {name: tallies.get(name, Tally()) + tally for name, tally in counted.items()}
    gradients = torch.autograd.grad(total, scores)
    by_row = [
        gradient
        for chosen, whole in zip(cut, gradients, strict=True)
        for gradient in whole.split([len(row.scores) for row in chosen])
    ]
    return total.detach(), by_row, tallies


LOSSES = [
    "bradley_terry + 0.1 * centering",
    "plackett_luce + 0.01 * score_decay",
    "rao_kupper",
    "bradley_terry + 0.5 * segment_hinge",
    "bradley_terry + 0.5 * batch_sum_to_zero",
    "plackett_luce + length_decorrelation + 0.5 * batch_sum_to_zero",
]
CASES = [(text, over) for text in LOSSES for over in ("items", "prompts")]


def objective_of(text: str) -> Objective:
    return parse_loss(text).as_objective()


def assert_same_step(step, other):
    torch.testing.assert_close(step[0], other[0])
    for mine, theirs in zip(step[1], other[1], strict=True):
        torch.testing.assert_close(mine, theirs)
    assert {name: tally.mean for name, tally in step[2].items()} == pytest.approx(
        {name: tally.mean for name, tally in other[2].items()}, nan_ok=True
    )


@pytest.mark.parametrize(("loss", "over"), CASES)
def test_one_pass_of_eight_rows_equals_eight_passes_of_one(loss, over):
    step = StepLoss(objective_of(loss), over)
    assert_same_step(step_of(step, [[row] for row in rows()]), step_of(step, [rows()]))


@given(cuts=st.sets(st.integers(1, 7)), case=st.sampled_from(CASES))
def test_no_division_into_passes_changes_loss_gradient_or_means(cuts, case):
    loss, over = case
    edges = [0, *sorted(cuts), 8]
    parts = [rows()[start:stop] for start, stop in pairwise(edges)]
    step = StepLoss(objective_of(loss), over)
    assert_same_step(step_of(step, parts), step_of(step, [rows()]))


def in_two_processes(objective: Objective, over: str, cuts: list[list[list[ExampleRow]]]):
    """Return the step of each of two simulated processes, synchronized in every `all_reduce`."""
    barrier, sent, results = threading.Barrier(2, timeout=20), [None, None], [None, None]

    def run(rank: int) -> None:
        def all_reduce(tensor: Tensor) -> Tensor:
            sent[rank] = tensor
            barrier.wait()
            total = sent[0] + sent[1]
            barrier.wait()
            return total

        results[rank] = step_of(StepLoss(objective, over, all_reduce), cuts[rank])

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@pytest.mark.parametrize(("loss", "over"), CASES)
def test_the_shares_of_two_processes_add_up_to_those_of_one(loss, over):
    # The processes differ in rows and in passes.
    first, second = in_two_processes(
        objective_of(loss), over, [[rows()[:3], rows()[3:5]], [[row] for row in rows()[5:]]]
    )
    whole = step_of(StepLoss(objective_of(loss), over), [rows()])
    torch.testing.assert_close(first[0] + second[0], whole[0])
    for mine, theirs in zip(first[1] + second[1], whole[1], strict=True):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize(("loss", "over"), CASES)
def test_a_pass_without_scores_adds_nothing(loss, over):
    step = StepLoss(objective_of(loss), over)
    empty = ExampleRow(torch.zeros(0, dtype=torch.float64), Mixed(()))
    total, gradients, tallies = step_of(step, [rows(), [empty]])
    assert len(gradients[-1]) == 0
    assert_same_step((total, gradients[:-1], tallies), step_of(step, [rows()]))


def test_a_step_without_any_item_has_the_loss_0():
    step = StepLoss(objective_of("bradley_terry + 0.5 * batch_sum_to_zero"))
    empty = ExampleRow(torch.zeros(0, dtype=torch.float64), Mixed(()))
    assert step_of(step, [[empty]])[0] == 0
    assert step.begin([]).tolist() == [0.0, 0.0]


def test_an_average_over_items_is_the_mean_of_all_items():
    scores = scores_of(rows())
    expected = (bradley_terry + 0.1 * centering)(scores, forward_pass(rows()).feedback)
    total, _, tallies = step_of(StepLoss((bradley_terry + 0.1 * centering).as_objective()), [[row] for row in rows()])
    torch.testing.assert_close(total, expected)
    assert tallies["bradley_terry"].mean + 0.1 * tallies["centering"].mean == pytest.approx(expected.item())


def test_an_average_over_prompts_is_a_mean_of_means():
    per_prompt = [
        bradley_terry(row.scores, row.feedback).item() for row in rows() if len(row.feedback.convert_to(Pairs))
    ]
    weights = [row.prompt_weight for row in rows() if len(row.feedback.convert_to(Pairs))]
    expected = sum(w * value for w, value in zip(weights, per_prompt, strict=True)) / sum(weights)
    total, _, _ = step_of(StepLoss(bradley_terry.as_objective(), "prompts"), [rows()[:5], rows()[5:]])
    assert total.item() == pytest.approx(expected)


def test_items_of_the_rows_differ_enough_that_a_mean_of_pass_means_is_wrong():
    total, _, _ = step_of(StepLoss(bradley_terry.as_objective()), [[row] for row in rows()])
    means = [bradley_terry(row.scores, row.feedback).item() for row in rows()]
    assert total.item() != pytest.approx(sum(means) / len(means), rel=1e-3)


def test_only_batch_wide_terms_need_the_scores_of_the_step_and_only_once():
    one = forward_pass(rows())
    plain = StepLoss((bradley_terry + segment_hinge).as_objective())
    plain.begin([one])
    assert not plain.needs_scores()

    batch_wide = StepLoss(objective_of("bradley_terry + 0.5 * batch_sum_to_zero"))
    batch_wide.begin([one])
    assert batch_wide.needs_scores()
    batch_wide.measure([scores_of(rows())])
    assert not batch_wide.needs_scores()
    batch_wide.begin([one])
    assert batch_wide.needs_scores()


def test_calls_in_the_wrong_order_are_errors():
    one, scores = forward_pass(rows()), scores_of(rows())
    step = StepLoss(objective_of("bradley_terry + 0.5 * batch_sum_to_zero"))
    with pytest.raises(RuntimeError, match=r"StepLoss.begin"):
        step.share(one, scores, [{}, {}])
    step.begin([one])
    with pytest.raises(RuntimeError, match=r"StepLoss.measure"):
        step.share(one, scores, [{}, {}])


def test_a_gradient_flows_to_the_loss_parameters():
    objective = objective_of("rao_kupper")
    parameters = [{"log_tie_width": torch.zeros(1, requires_grad=True)}]
    step = StepLoss(objective)
    step.begin([forward_pass(rows())])
    share, _ = step.share(forward_pass(rows()), scores_of(rows()), parameters)
    share.backward()
    assert parameters[0]["log_tie_width"].grad.abs().item() > 0
