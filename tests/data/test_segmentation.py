"""Steps are joined without changes, and a split of a text into steps keeps every character."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlhf_losses.data.segmentation import SEGMENTATIONS, infer_segmentation, join_segments, split_segments

TEXTS = st.text(alphabet='ab.!? \n"', max_size=60)


@given(TEXTS, st.sampled_from(sorted(SEGMENTATIONS)))
def test_the_steps_of_a_text_add_up_to_it(text, segmentation):
    assert "".join(split_segments(text, segmentation)) == text


def test_a_separator_is_added_only_between_steps_without_white_space():
    assert join_segments(["One. ", "Two.", " Three.", "Four"], "|") == ["One. ", "Two.", " Three.|", "Four"]


@pytest.mark.parametrize("segmentation", sorted(SEGMENTATIONS))
def test_the_segmentation_is_inferred_from_the_data(segmentation):
    mark = {"sentences": ". ", "lines": "\n", "paragraphs": ".\n\n"}[segmentation]
    answers = [[f"a b{mark}", f"c d{mark}", "e"], [f"f{mark}", "g h"]]
    assert infer_segmentation(answers) == segmentation


def test_an_empty_text_is_one_empty_step():
    assert split_segments("", "sentences") == [""]
