"""LaTeX formulas as Unicode text."""

import re

import pytest

from rlhf_losses.cli.docstring import parse_docstring
from rlhf_losses.cli.latex import inline_to_unicode, latex_to_unicode
from rlhf_losses.hooks import loss_registry


@pytest.mark.parametrize(
    ("formula", "text"),
    [
        (r"\frac{a + b}{c}", "(a + b)/c"),
        (r"\frac{1}{2 c}", "1/(2 c)"),
        (r"\tfrac12 x", "1/2 x"),
        (r"\frac{a}{(b + c) d}", "a/((b + c) d)"),
        (r"e^{s_j / T}", "e^(s_j / T)"),
        (r"x^2 + y_i^p", "x² + y_i^p"),
        (r"-\log \sigma(s)", "-log σ(s)"),
        (r"\varepsilon \log y", "ε log y"),
        (r"\left(\frac{s_\text{chosen} - m}{T}\right)", "((s_chosen - m)/T)"),
        (r"y \in \{-1, +1\}", "y ∈{-1, +1}"),
        (r"\sqrt{2} d", "√2 d"),
        (r"\log \frac{e^a}{b + c}", "log ((e^a)/(b + c))"),
        (r"a, \qquad b = c \quad d", "a; b = c; d"),
        (r"\begin{cases} a & x \le d \\ b & \text{else} \end{cases}", "{ a, x ≤ d; b, else }"),
        (r"\operatorname{cov}(s, n)", "cov(s, n)"),
        (r"\max(0,\; m - y\,s), \qquad n", "max(0, m - y s); n"),
        (r"\sqrt[3]{x}", "³√x"),
        (r"\sqrt[n]{x + 1}", "n√(x + 1)"),
        (r"\mathrm{KL}(p\,\|\,q)", "KL(p ‖ q)"),
        (r"\|x\|_2^2", "‖x‖_2²"),
        (r"\underbrace{a + b}_{y}", "(a + b)_y"),
        (r"\binom{K}{2}", "binom(K, 2)"),
    ],
)
def test_formulas_become_one_line_of_text(formula, text):
    assert latex_to_unicode(formula) == text


@pytest.mark.parametrize("name", loss_registry())
def test_formulas_of_losses_have_no_latex_after_conversion(name):
    text = latex_to_unicode(parse_docstring(loss_registry()[name]).formula)
    assert text
    assert not re.search(r"[\\$&%]", text)
    assert text.count("(") == text.count(")")


def test_inline_formulas_are_converted_and_other_text_is_kept():
    assert inline_to_unicode(r"the weight $\lambda$ of `a_b`, and $x^2$") == "the weight λ of `a_b`, and x²"
    assert inline_to_unicode("costs 5$") == "costs 5$"
