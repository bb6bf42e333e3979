"""Pipelines of score transforms: their string form, fitted values, and affine form."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rlhf_losses.errors import InvalidLossError, InvalidSettingError, UnknownNameError
from rlhf_losses.feedback import Mixed
from rlhf_losses.transforms import (
    Clip,
    Evidence,
    Requirement,
    ScoredTexts,
    Standardize,
    TransformPipeline,
    parse_transforms,
)

KNOWN = {"standardize": Standardize, "clip": Clip}
LIMITS = st.floats(0.01, 100, allow_nan=False)
TRANSFORMS = st.one_of(st.just(Standardize()), st.builds(Clip, limit=LIMITS))
PIPELINES = st.lists(TRANSFORMS, min_size=1, max_size=4).map(tuple).map(TransformPipeline)


def scored(*scores: float) -> ScoredTexts:
    values = torch.tensor(scores, dtype=torch.float64)
    return ScoredTexts(values, torch.empty(len(values), 0), torch.ones(len(values)))


def samples(*scores: float) -> list[Evidence]:
    return [scored(*scores).with_feedback(Mixed(()))]


@given(PIPELINES)
def test_the_string_form_of_a_pipeline_parses_to_an_equal_pipeline(pipeline):
    assert parse_transforms(str(pipeline), KNOWN) == pipeline


@pytest.mark.parametrize(
    "text", ["standardize|clip(limit=3)", " standardize | clip( limit = 3.0 ) ", "(standardize | clip(limit=3))"]
)
def test_spaces_and_parentheses_do_not_matter(text):
    assert parse_transforms(text, KNOWN) == TransformPipeline((Standardize(), Clip(limit=3.0)))


@pytest.mark.parametrize("text", ["", "standardize clip", "standardize & clip", "standardize |", "3", "a.b"])
def test_other_strings_are_refused_with_an_example(text):
    with pytest.raises(InvalidSettingError) as caught:
        parse_transforms(text, KNOWN)
    assert text in str(caught.value)
    assert "'standardize | clip(limit=5)'" in str(caught.value)


def test_nothing_in_a_string_is_evaluated():
    with pytest.raises(InvalidSettingError):
        parse_transforms("__import__('os').getcwd()", KNOWN)


def test_an_unknown_transform_is_refused_with_the_nearest_name():
    with pytest.raises(UnknownNameError, match=r"'standardise'.*Did you mean 'standardize'\?"):
        parse_transforms("standardise | clip", KNOWN)


@pytest.mark.parametrize(("text", "error"), [("clip(limt=1)", UnknownNameError), ("clip(limit=0)", InvalidLossError)])
def test_an_invalid_option_is_refused(text, error):
    with pytest.raises(error, match="limit"):
        parse_transforms(text, KNOWN)


def test_a_pipeline_without_transforms_is_refused():
    with pytest.raises(InvalidSettingError, match="no transforms"):
        TransformPipeline(())


def test_each_transform_is_fitted_to_the_output_of_the_one_before():
    clipped_first = parse_transforms("clip(limit=1.0) | standardize", KNOWN).fit(samples(-5.0, 0.5, 1.0))
    expected = torch.tensor([-1.0, 0.5, 1.0], dtype=torch.float64)
    assert clipped_first.fitted[1]["mean"] == expected.mean()
    assert clipped_first.fitted[1]["std"] == expected.std(correction=0)
    assert not clipped_first.fitted[0]


def test_transforms_are_applied_from_left_to_right():
    fitted = parse_transforms("standardize | clip(limit=0.5)", KNOWN).fit(samples(1.0, 3.0))
    assert fitted.apply(scored(2.0, 2.25, 9.0)).tolist() == [0.0, 0.25, 0.5]


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=9).filter(lambda scores: max(scores) - min(scores) > 0.01))
def test_the_affine_form_of_a_pipeline_gives_the_same_scores(scores):
    fitted = parse_transforms("standardize | standardize", KNOWN).fit(samples(*scores))
    scale, shift = fitted.affine()
    expected = [scale * score + shift for score in scores]
    assert fitted.apply(scored(*scores)).tolist() == pytest.approx(expected, abs=1e-6)


def test_a_pipeline_with_a_clip_is_not_affine():
    assert parse_transforms("standardize | clip", KNOWN).fit(samples(1.0, 3.0)).affine() is None


def test_a_pipeline_declares_what_its_transforms_declare():
    pipeline = parse_transforms("clip | standardize", KNOWN)
    assert pipeline.requires == Requirement.REFERENCE
    assert pipeline.monotone
    assert parse_transforms("clip", KNOWN).requires == Requirement.NONE
