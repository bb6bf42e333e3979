"""The generated pages are up to date, and the statements about the scale of scores are true."""

import ast
import re
import runpy
import shlex
import sys
from math import exp, log
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from scipy.optimize import brentq

from rlhf_losses.cli import train
from rlhf_losses.data import check_dataset
from rlhf_losses.feedback import Labels, Pairs, Rankings, Ratings, Steps
from rlhf_losses.hooks import parse_loss
from rlhf_losses.hooks.builtins import provide_losses
from rlhf_losses.losses import (
    BradleyTerry,
    Centering,
    Hinge,
    ListNet,
    LossProperty,
    RobustBradleyTerry,
    SquaredDifference,
    bradley_terry,
    huber,
    log_barrier,
    score_decay,
    squared_error,
    thurstone,
)

DOCS = Path(__file__).parents[2] / "docs"
CHOOSING = (DOCS / "choosing-a-loss.md").read_text(encoding="utf-8")
sys.path.insert(0, str(DOCS))
GENERATOR = runpy.run_path(str(DOCS / "generate_losses.py"))
sys.path.remove(str(DOCS))
GENERATED = GENERATOR["files"]()
PAGES = DOCS / "reference" / "losses"
LOSSES = list(provide_losses())
PAIRWISE = [cls for cls in LOSSES if cls.feedback_type is Pairs]
each_loss = pytest.mark.parametrize("cls", LOSSES, ids=lambda cls: cls.name())
each_pairwise_loss = pytest.mark.parametrize("cls", PAIRWISE, ids=lambda cls: cls.name())


@pytest.mark.parametrize("path", GENERATED, ids=lambda path: path.stem)
def test_generated_documentation_is_up_to_date(path):
    assert path.is_file(), f"{path.name} is missing. Run: python docs/generate_losses.py"
    assert path.read_text(encoding="utf-8") == GENERATED[path], (
        f"{path.name} is stale. Run: python docs/generate_losses.py"
    )


def test_every_loss_and_named_objective_has_a_page_and_nothing_else_has_one():
    pages = {path.stem for path in PAGES.glob("*.md")} - {"index"}
    assert pages == {cls.name() for cls in provide_losses()}, "Run: python docs/generate_losses.py"
    assert {"eurus", "centered_bradley_terry"} < pages


@each_loss
def test_the_picture_was_drawn_from_the_values_of_the_loss(cls):
    picture = (PAGES / "pictures" / f"{cls.name()}.svg").read_text(encoding="utf-8")
    assert GENERATOR["hash_of"](cls()) in picture, "The formula has changed. Run: python docs/generate_losses.py"


def test_the_hash_of_a_picture_changes_with_the_formula():
    hash_of = GENERATOR["hash_of"]
    assert hash_of(BradleyTerry()) != hash_of(BradleyTerry(temperature=1.001))
    assert hash_of(BradleyTerry()) == hash_of(BradleyTerry())


def test_a_picture_shows_the_formula_and_its_derivative():
    values, gradients = runpy.run_path(str(DOCS / "loss_pictures.py"))["data_of"](BradleyTerry())[""]
    differences = [-4 + i / 10 for i in range(81)]
    assert values == pytest.approx([log(1 + exp(-x)) for x in differences], abs=1e-5)
    assert gradients == pytest.approx([-1 / (1 + exp(x)) for x in differences], abs=1e-5)


def test_there_are_no_pictures_of_other_losses():
    assert {path.stem for path in (PAGES / "pictures").glob("*")} == {cls.name() for cls in LOSSES}


def test_the_gallery_has_the_picture_of_each_loss_with_a_link_to_its_page():
    found = re.findall(r"\[\*\*(\w+)\*\* !\[.*?\]\(pictures/\1\.svg\)\]\(\1\.md\)", GENERATED[PAGES / "index.md"])
    assert sorted(found) == sorted(cls.name() for cls in LOSSES)


def stated(cls, topic):
    """Return the cell of the requirements on the page of a loss that is about a column."""
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", GENERATED[PAGES / f"{cls.name()}.md"], re.MULTILINE)
    return next(text for name, text in rows if topic in name.split(", "))


def pair_value(cls, scores=(0.75, 0.25), **columns):
    """Return the loss of a pair."""
    return float(cls()(torch.tensor(scores, dtype=torch.float64), Pairs(chosen=[0], rejected=[1], **columns)))


GRADES = {"ordinal_preference": {"margin": [1.0]}}


@each_pairwise_loss
def test_what_the_page_states_about_weights_is_true(cls):
    base = GRADES.get(cls.name(), {})
    factor = pair_value(cls, weight=[3.0], **base) / pair_value(cls, **base)
    text = stated(cls, "`weight`")
    if "ignored" in text:
        assert factor == pytest.approx(1)
    elif "first term" in text:
        assert 1 < factor < 3
    else:
        assert re.search(r"multiplies|apply as in|apply to both", text)
        assert factor == pytest.approx(3)


@each_pairwise_loss
def test_what_the_page_states_about_margins_is_true(cls):
    text, with_margin = stated(cls, "`margin`"), pair_value(cls, margin=[1.0])
    if cls.name() in GRADES:
        assert "grade" in text
        return
    without, shifted = pair_value(cls), pair_value(cls, scores=(-0.25, 0.25))
    if "ignored" in text:
        assert with_margin == pytest.approx(without)
    elif "first term" in text:
        assert with_margin != pytest.approx(without)
        assert with_margin != pytest.approx(shifted)
    else:
        assert re.search(r"is subtracted|is added", text)
        assert with_margin == pytest.approx(shifted)


@each_pairwise_loss
def test_what_the_page_states_about_ties_is_true(cls):
    text, tie = stated(cls, "ties"), pair_value(cls, tie=[1.0], **GRADES.get(cls.name(), {}))
    win, defeat = (pair_value(cls, preference=[p], **GRADES.get(cls.name(), {})) for p in (1.0, 0.0))
    if "ignored" in text:
        assert tie == pytest.approx(win)
    elif re.search(r"p = 0.5|as in", text):
        assert tie == pytest.approx((win + defeat) / 2)
    else:
        assert "outcomes" in text
        half = pair_value(cls, preference=[0.75], tie=[0.5], **GRADES.get(cls.name(), {}))
        assert half == pytest.approx((win + tie) / 2)


def code_block(cls, language):
    """Return the first block of a language on the page of a loss."""
    return re.search(rf"```{language}\n(.*?)```", GENERATED[PAGES / f"{cls.name()}.md"], re.DOTALL)[1]


def snippet_parts(cls):
    """Return the rows and the loss of the snippet of a page."""
    tree = ast.parse(code_block(cls, "python"))
    assigned = {node.targets[0].id: node.value for node in tree.body if isinstance(node, ast.Assign)}
    (loss,) = [one.value for one in assigned["trainer"].keywords if one.arg == "loss"]
    return ast.literal_eval(assigned["rows"]), parse_loss(ast.unparse(loss))


@each_loss
def test_the_rows_of_the_snippet_are_feedback_for_its_loss(cls):
    rows, loss = snippet_parts(cls)
    assert cls.name() in str(loss)
    check_dataset(Dataset.from_list(rows), loss, "rows")
    assert any(term.loss.name() == cls.name() for term in loss.as_objective().terms) or loss == cls()


def test_the_commands_of_the_snippets_are_valid():
    parser = train.build_parser()
    for cls in LOSSES:
        words = shlex.split(code_block(cls, "console").replace("\\\n", " "))
        assert words[:2] == ["rlhf-losses", "train"]
        config, *_ = parser.read(words[2:])
        assert parse_loss(config.loss) == snippet_parts(cls)[1]


def test_the_page_of_a_named_objective_has_its_options_and_the_equivalent_sum():
    page = GENERATED[PAGES / "centered_bradley_terry.md"]
    assert "Equals `bradley_terry + 0.01 * centering`." in page
    assert "| `coefficient` | `0.01` | a finite number of at least 0 |" in page


@pytest.mark.parametrize("path", GENERATED, ids=lambda path: path.stem)
def test_links_have_a_target(path):
    for link in re.findall(r"\]\((?!http)([^)#]+)", GENERATED[path]):
        assert (path.parent / link).exists(), link


def test_every_property_is_defined():
    for one in LossProperty:
        assert f"* **{one.words()[0]}**: " in CHOOSING


def is_shift_invariant(cls):
    return LossProperty.SHIFT_INVARIANT in cls().active_properties()


def test_the_losses_that_determine_the_zero_are_those_of_the_page():
    comparisons = [cls for cls in provide_losses() if cls.feedback_type in (Pairs, Rankings) and cls is not Centering]
    with_zero = {cls.name() for cls in comparisons if not is_shift_invariant(cls)}
    assert with_zero == {"independent_classification", "eurus", "centered_bradley_terry"}
    pointwise = [cls for cls in provide_losses() if cls.feedback_type in (Ratings, Labels, Steps)]
    assert not [cls.name() for cls in pointwise if is_shift_invariant(cls)]


def gradient(loss, score_difference, **columns):
    """Return the gradient of the loss of a pair in its score difference."""
    leaf = torch.tensor(score_difference, dtype=torch.float64, requires_grad=True)
    value = loss(torch.stack([leaf / 2, -leaf / 2]), Pairs(chosen=[0], rejected=[1], **columns))
    return torch.autograd.grad(value, leaf)[0].item()


def minimum(loss, **columns):
    """Return the score difference at the minimum of the loss of a pair."""
    return brentq(lambda score_difference: gradient(loss, score_difference, **columns), -50, 50)


@pytest.mark.parametrize("share", [0.6, 0.75, 0.9])
def test_the_minimum_of_bradley_terry_is_at_the_log_odds_of_the_preference(share):
    assert minimum(bradley_terry, preference=[share]) == pytest.approx(log(share / (1 - share)), rel=1e-5)
    scaled = BradleyTerry(temperature=3.0)
    assert minimum(scaled, preference=[share]) == pytest.approx(3 * log(share / (1 - share)), rel=1e-5)


@pytest.mark.parametrize("smoothing", [0.05, 0.25])
def test_label_smoothing_gives_certain_pairs_a_finite_minimum(smoothing):
    assert minimum(BradleyTerry(label_smoothing=smoothing)) == pytest.approx(log((1 - smoothing) / smoothing))


@pytest.mark.parametrize("rate", [0.1, 0.3])
@pytest.mark.parametrize("score_difference", [-10.0, 0.0, 10.0, 1000.0])
def test_the_gradient_of_robust_bradley_terry_never_vanishes(rate, score_difference):
    assert gradient(RobustBradleyTerry(flip_rate=rate), score_difference) <= -rate / (1 - 2 * rate) * (1 - 1e-9)


@pytest.mark.parametrize("loss", [bradley_terry, thurstone], ids=str)
def test_likelihoods_of_certain_pairs_have_no_finite_minimum(loss):
    assert all(gradient(loss, score_difference) < 0 for score_difference in (-10.0, 0.0, 5.0, 10.0))


def test_losses_with_a_distance_have_their_minimum_there():
    assert minimum(SquaredDifference(target=2.0)) == pytest.approx(2.0)
    assert minimum(SquaredDifference(target=2.0), preference=[0.75]) == pytest.approx((2 * 0.75 - 1) * 2.0)
    assert gradient(Hinge(margin=2.0), 1.99) < 0 == gradient(Hinge(margin=2.0), 2.01)


@pytest.mark.parametrize("loss", [squared_error, huber], ids=str)
def test_the_minimum_of_regressions_is_at_the_ratings(loss):
    ratings = Ratings(candidates=[0, 1], ratings=[3.0, -1.0], sizes=[2])
    scores = torch.tensor([3.0, -1.0], requires_grad=True)
    assert not torch.autograd.grad(loss(scores, ratings), scores)[0].any()


def test_the_minimum_of_list_net_is_at_grade_differences_over_the_temperature():
    lists = Rankings(candidates=[0, 1, 2], ranks=[1, 2, 3], sizes=[3], grades=[4.0, 1.0, 0.0])
    scores = (torch.tensor([4.0, 1.0, 0.0], dtype=torch.float64) / 2 + 7).requires_grad_()
    (slopes,) = torch.autograd.grad(ListNet(temperature=2.0)(scores, lists), scores)
    assert slopes.abs().max() < 1e-12


def test_score_decay_gives_a_pair_a_finite_minimum():
    # The gradient of bradley_terry is -sigmoid(-difference); that of the mean of two squares (difference / 2) ** 2 is
    # difference / 2.
    score_difference = minimum(bradley_terry + 0.1 * score_decay)
    assert 1 / (1 + exp(score_difference)) == pytest.approx(0.1 * score_difference / 2)


def test_the_gradient_of_the_log_barrier_increases_towards_the_limit():
    scores = torch.tensor([0.1, 1.0, 3.0, 4.5, 4.9], requires_grad=True)
    (slopes,) = torch.autograd.grad(log_barrier.per_score(scores).sum(), scores)
    assert (slopes.diff() > 0).all()
    assert slopes[0] < 0.01


def test_the_deviation_of_thurstone_is_that_of_the_noise_on_each_answer():
    # The difference of two scores with noise of deviation 1 has the deviation sqrt(2).
    scores = torch.tensor([1.0, 0.0], dtype=torch.float64)
    probability = exp(-thurstone(scores, Pairs(chosen=[0], rejected=[1])).item())
    draws = torch.randn(2, 1_000_000, generator=torch.Generator().manual_seed(0))
    assert probability == pytest.approx(float((draws[0] + 1 > draws[1]).double().mean()), abs=3e-3)
