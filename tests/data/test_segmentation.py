"""Segments are joined without a change and cut again without a loss."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlhf_losses.data.segmentation import SPLITTERS, find_splitter, join_segments, split_segments

TEXTS = st.text(alphabet='ab.!? \n"', max_size=60)


@given(TEXTS, st.sampled_from(sorted(SPLITTERS)))
def test_the_pieces_of_a_text_add_up_to_it(text, how):
    assert "".join(split_segments(text, how)) == text


def test_a_separator_goes_only_where_no_white_space_parts_two_steps():
    assert join_segments(["One. ", "Two.", " Three.", "Four"], "|") == ["One. ", "Two.", " Three.|", "Four"]


@pytest.mark.parametrize("how", sorted(SPLITTERS))
def test_the_way_of_cutting_is_found_from_the_data(how):
    mark = {"sentences": ". ", "lines": "\n", "paragraphs": ".\n\n"}[how]
    answers = [[f"a b{mark}", f"c d{mark}", "e"], [f"f{mark}", "g h"]]
    assert find_splitter(answers) == how


def test_an_empty_text_is_one_empty_segment():
    assert split_segments("", "sentences") == [""]
