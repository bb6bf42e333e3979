"""Docstrings in parts."""

from rlhf_losses.cli.docstring import parse_docstring


class OneSentence:
    """Only a sentence."""


class WithSections:
    r"""A summary with
    two lines.

    $$
    a + b \\
    = c
    $$

    A $second$ paragraph with `code`.

    Args:
        a: first.
        b: second,
            on two lines.

    References:
        An Author (2020), https://example.org

    Examples:
        >>> 1 + 1
        2
    """


def test_a_docstring_can_be_one_sentence():
    docstring = parse_docstring(OneSentence)
    assert (docstring.summary, docstring.formula, docstring.text) == ("Only a sentence.", "", "")
    assert (docstring.arguments, docstring.sections) == ({}, {})


def test_a_docstring_is_split_into_summary_formula_text_and_sections():
    docstring = parse_docstring(WithSections)
    assert docstring.summary == "A summary with\ntwo lines."
    assert docstring.formula == r"a + b \\ = c"
    assert docstring.text == "A $second$ paragraph with `code`."
    assert docstring.arguments == {"a": "first.", "b": "second,\non two lines."}
    assert docstring.sections == {
        "References": "An Author (2020), https://example.org",
        "Examples": ">>> 1 + 1\n2",
    }
