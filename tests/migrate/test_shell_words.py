"""Commands of a shell script are read as bash reads them."""

import shutil
import subprocess

import pytest

from rlhf_losses.migrate.found_settings import Unread
from rlhf_losses.migrate.shell_words import shell_commands

SCRIPTS = [
    "show a 'b c' \"d e\" f\\ g",
    'A=1; B="x y"; show $A "$B" $B ${A}2 "${B}!" \'$A\'',
    "show a \\\n  b \\\n  c # d\nshow e",
    'ARGS=(--a 1 --b "x y")\nARGS+=(--c)\nshow "${ARGS[@]}" z',
    "show --rate=${RATE:-1e-5} ${EMPTY-none}",
    "show $'a\\nb' \"a\\\"b\" a#b '#c'",
    'export A=5\nshow $A > /dev/null 2>&1\nshow "$A" && show b || show c',
    "read -r -d '' TEXT <<EOF\n--a 1 \\\n--b 2\nEOF\nshow $TEXT",
    "A=1\nA+=2\nshow $A",
    "if true; then\n  show a\nfi",
    "show '' \"\" x",
    "show {a} a=b --c=d=e",
]


def output_of_bash(script):
    """Return the arguments of `show` as bash passes them, in the order of the calls."""
    function = 'show() { printf \'%s\\0\' "$#" "$@" >&3; }\n'
    ran = subprocess.run(
        ["bash", "-c", f"exec 3>&1\n{function}{script}"],
        capture_output=True,
        check=False,
        text=True,
        env={"PATH": "/bin:/usr/bin"},
    )
    assert not ran.stderr
    return ran.stdout.split("\0")[:-1]


def words_of(script):
    """Return the arguments of `show` as they are read."""
    commands = [
        [one.value for one in command.words[1:]]
        for command in shell_commands(script)
        if command.words[0].text == "show"
    ]
    return [word for words in commands for word in (str(len(words)), *words)]


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize("script", SCRIPTS)
def test_words_are_those_of_bash(script):
    expected = output_of_bash(script)
    assert expected
    assert words_of(script)[: len(expected)] == expected


@pytest.mark.parametrize("text", ["$UNKNOWN", "$(date)", "`date`", "$1", "$@", "${A%.*}", "$((1 + 2))"])
def test_what_only_a_shell_knows_is_unread(text):
    (command,) = shell_commands(f"show {text}")
    (word,) = command.words[1:]
    assert isinstance(word.value, Unread)
    assert word.text == text


def test_a_variable_that_depends_on_a_condition_is_unread():
    (command,) = [one for one in shell_commands("A=1\nif true; then A=2; fi\nshow $A") if one.words[0].text == "show"]
    assert isinstance(command.words[1].value, Unread)


@pytest.mark.parametrize(
    "text", ["'", '"a', "a \\", "<<EOF\nb", "${", "$(", "((((", "A=(", "`", "$'", "<<", "|;&", "#"]
)
def test_text_that_is_not_complete_is_read_to_its_end(text):
    assert isinstance(shell_commands(text), list)
