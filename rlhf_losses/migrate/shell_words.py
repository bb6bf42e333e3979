"""Reads the commands of a shell script without running them.

Quotes, escapes, line continuations, comments, here documents, arrays, and variables that the script itself sets to a
text are read. What a shell computes (`$(...)`, variables of the environment, values that depend on a condition) has no
value here, and becomes an `Unread`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from rlhf_losses.migrate.found_settings import Unread

Value = str | Unread

NAME = re.compile(r"[A-Za-z_]\w*")
ASSIGNMENT = re.compile(r"(?:[A-Za-z_]\w*)\+?=")
REDIRECTION = re.compile(r"[<>]+(&\d|&-)?")
HERE = re.compile(r"<<-?\s*(['\"]?)(\w+)\1")
SEPARATORS = ";&|\n"
BLOCKS = {"if": 1, "for": 1, "while": 1, "until": 1, "case": 1, "fi": -1, "done": -1, "esac": -1}
KEYWORDS = frozenset((*BLOCKS, "then", "else", "elif", "do", "in", "{", "}", "!", "time", "exec", "nohup"))


@dataclass(frozen=True)
class Variable:
    """A reference to a variable.

    Attributes:
        text: how the script writes it.
        name: its name; empty for what a shell computes.
        default: the value without it, or None.
        quoted: whether it is in double quotes.
    """

    text: str
    name: str
    default: str | None
    quoted: bool


@dataclass
class RawWord:
    """A word before its variables are replaced."""

    line: int
    parts: list[str | Variable] = field(default_factory=list)
    quoted: bool = False


@dataclass(frozen=True)
class Word:
    """A word of a command, with the line it is on."""

    value: Value
    line: int

    @property
    def text(self) -> str:
        """Return the word as text; of an unread one, what the script has."""
        return self.value.text if isinstance(self.value, Unread) else self.value


@dataclass(frozen=True)
class ShellCommand:
    """A command.

    Attributes:
        words: its words.
        environment: variables that are set in front of it.
        continued_at: lines that begin with a flag, and that the shell reads as commands of their own.
    """

    words: tuple[Word, ...]
    environment: tuple[tuple[str, Value], ...] = ()
    continued_at: tuple[int, ...] = ()

    @property
    def line(self) -> int:
        """Return the line of its first word."""
        return self.words[0].line


def shell_commands(text: str) -> list[ShellCommand]:
    """Return the commands of a script, with the variables that the script sets replaced.

    Args:
        text: the script.

    Examples:
        >>> (command,) = shell_commands("LR=1e-5\\ntorchrun train.py --lr $LR  # rate")
        >>> [word.text for word in command.words]
        ['torchrun', 'train.py', '--lr', '1e-5']
    """
    return _Script(text).commands()


class _Tokens:
    """Splits a script into lines of raw words."""

    def __init__(self, text: str) -> None:
        self.text, self.at, self.line = text.replace("\r\n", "\n"), 0, 1
        self.documents: list[str] = []

    def commands(self) -> Iterator[list[RawWord]]:
        """Yield the words of each simple command; a here document is the last word of its command."""
        words: list[RawWord] = []
        while self.at < len(self.text):
            char = self.text[self.at]
            if char in SEPARATORS:
                if char == "\n" and self.documents:
                    words += [self._document(end) for end in self.documents]
                    self.documents = []
                self._advance()
                yield words
                words = []
            elif char in " \t" or self.text.startswith("\\\n", self.at):
                self._advance(2 if char == "\\" else 1)
            elif char == "#":
                end = self.text.find("\n", self.at)
                self._advance((end if end >= 0 else len(self.text)) - self.at)
            elif char in "()<>":
                words += self._operator()
            else:
                words.append(self._word())
        yield words

    def _operator(self) -> list[RawWord]:
        """Return a bracket or a redirection; of a here document nothing, because it begins in the next line."""
        if match := HERE.match(self.text, self.at):
            self.documents.append(match[2])
            self._advance(len(match[0]))
            return []
        operator = REDIRECTION.match(self.text, self.at)
        return [RawWord(self.line, [self._advance(len(operator[0]) if operator else 1)])]

    def _advance(self, count: int = 1) -> str:
        passed = self.text[self.at : self.at + count]
        self.at += count
        self.line += passed.count("\n")
        return passed

    def _document(self, end: str) -> RawWord:
        """Return a here document, up to the line that ends it."""
        word = RawWord(self.line + 1, quoted=True)
        match = re.compile(rf"\n[ \t]*{re.escape(end)}[ \t]*(?=\n|$)").search(self.text, self.at)
        stop = match.start() if match else len(self.text)
        body = self.text[self.at : stop].replace("\\\n", " ")
        word.parts = ["\n" + body.strip("\n")]
        self._advance((match.end() if match else stop) - self.at)
        return word

    def _word(self) -> RawWord:
        word = RawWord(self.line)
        while self.at < len(self.text):
            char = self.text[self.at]
            if char in " \t()<>" + SEPARATORS and not (char == "(" and self._is_array(word)):
                break
            self._piece(word, char)
        return word

    def _is_array(self, word: RawWord) -> bool:
        return bool(word.parts) and isinstance(word.parts[-1], str) and word.parts[-1].endswith("=")

    def _piece(self, word: RawWord, char: str) -> None:
        if char == "\\":
            passed = self._advance(2)
            word.parts.append("" if passed == "\\\n" else passed[1:])
        elif char == "'":
            word.quoted = True
            word.parts.append(self._until("'"))
        elif char == '"':
            word.quoted = True
            self._double_quotes(word)
        elif char in "$`":
            word.parts.append(self._variable(quoted=False))
        elif char == "(":
            word.parts.append(Variable(self._balanced("(", ")"), "(", None, False))
        else:
            self._append(word, self._advance())

    def _append(self, word: RawWord, char: str) -> None:
        if word.parts and isinstance(word.parts[-1], str):
            word.parts[-1] += char
        else:
            word.parts.append(char)

    def _until(self, end: str) -> str:
        self._advance()
        stop = self.text.find(end, self.at)
        body = self._advance((stop if stop >= 0 else len(self.text)) - self.at)
        self._advance()
        return body

    def _double_quotes(self, word: RawWord) -> None:
        self._advance()
        word.parts.append("")
        while self.at < len(self.text) and self.text[self.at] != '"':
            char = self.text[self.at]
            if char == "\\" and self.text[self.at + 1 : self.at + 2] in tuple('"\\$`\n'):
                passed = self._advance(2)[1:]
                self._append(word, "" if passed == "\n" else passed)
            elif char in "$`":
                word.parts.append(self._variable(quoted=True))
            else:
                self._append(word, self._advance())
        self._advance()

    def _balanced(self, opening: str, closing: str) -> str:
        """Return a text in brackets, with the brackets."""
        start, depth = self.at, 0
        while self.at < len(self.text):
            char = self._advance()
            depth += (char == opening) - (char == closing)
            if not depth:
                break
        return self.text[start : self.at]

    def _variable(self, quoted: bool) -> str | Variable:
        rest = self.text[self.at + 1 : self.at + 2]
        if self.text[self.at] == "`":
            return Variable(f"`{self._until('`')}`", "", None, quoted)
        if rest == "'" and not quoted:
            self._advance()
            return self._until("'").replace("\\n", "\n").replace("\\t", "\t")
        if rest in ("{", "("):
            self._advance()
            body = self._balanced(rest, ")" if rest == "(" else "}")
            return _reference(f"${body}", body[1:-1] if rest == "{" else "", quoted)
        match = NAME.match(self.text, self.at + 1)
        name = match[0] if match else rest
        self._advance(1 + len(name))
        return Variable(f"${name}", name, None, quoted) if name else "$"


def _reference(text: str, body: str, quoted: bool) -> Variable:
    """Return the reference of `${body}`, with its default."""
    match = NAME.match(body) or re.match(r"\d", body)
    name, rest = (match[0], body[match.end() :]) if match else ("", body)
    default = re.match(r":?[-=](.*)", rest, re.S)
    if default:
        return Variable(text, name, default[1].strip("\"'"), quoted)
    return Variable(text, name if rest in ("", "[@]", "[*]") else "", None, quoted)


class _Script:
    """Runs through the commands of a script in their order, and replaces variables."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.variables: dict[str, list[Value]] = {}
        self.depth = 0

    def commands(self) -> list[ShellCommand]:
        """Return the commands that are not assignments."""
        found: list[ShellCommand] = []
        for raw in _Tokens(self.text).commands():
            command = self._command(raw)
            if command is not None and command.words[0].text.startswith("--") and found:
                before = found.pop()
                lines = (*before.continued_at, command.line)
                command = ShellCommand(before.words + command.words, before.environment, lines)
            if command is not None:
                found.append(command)
        return found

    def _command(self, raw: list[RawWord]) -> ShellCommand | None:
        raw = self._without_keywords(raw)
        environment: list[tuple[str, Value]] = []
        exported = bool(raw) and raw[0].parts[:1] in (["export"], ["declare"], ["local"], ["readonly"])
        for word in raw[1:] if exported else raw:
            name, value = self._assigned(word)
            if not name:
                break
            environment.append((name, value[0] if len(value) == 1 else " ".join(map(_as_text, value))))
            self.variables[name] = value
        rest = [] if exported else raw[len(environment) :]
        if environment and rest:  # set for this command only
            for name, _ in environment:
                self.variables.pop(name)
        self._read_document(rest)
        words = tuple(one for word in _without_redirections(rest) for one in self._expand(word))
        return ShellCommand(words, tuple(environment)) if words else None

    def _without_keywords(self, raw: list[RawWord]) -> list[RawWord]:
        while raw and len(raw[0].parts) == 1 and not raw[0].quoted and raw[0].parts[0] in KEYWORDS:
            self.depth = max(0, self.depth + BLOCKS.get(str(raw[0].parts[0]), 0))
            if raw[0].parts[0] in ("for", "case"):
                return []
            raw = raw[1:]
        return raw

    def _assigned(self, word: RawWord) -> tuple[str, list[Value]]:
        """Return the name and the values of an assignment; an empty name for another word."""
        first = word.parts[0] if word.parts else ""
        match = ASSIGNMENT.match(first) if isinstance(first, str) else None
        if not match:
            return "", []
        name, adds = match[0].rstrip("+="), match[0].endswith("+=")
        rest = RawWord(word.line, [str(first)[match.end() :], *word.parts[1:]], word.quoted)
        array = next((part for part in rest.parts if isinstance(part, Variable) and part.name == "("), None)
        values = self._array(array.text) if array else [one.value for one in self._expand(rest, split=False)]
        if self.depth:
            return name, [Unread(f"${name}", f"the variable {name} is set under a condition or in a loop")]
        before = self.variables.get(name, []) if adds else []
        if before and not array:
            return name, [_joined([*before, *values])]
        return name, [*before, *values] or [""]

    def _array(self, text: str) -> list[Value]:
        words = [word for command in _Tokens(text[1:-1]).commands() for word in command]
        return [one.value for word in words for one in self._expand(word)]

    def _read_document(self, raw: list[RawWord]) -> None:
        """Set the variable of `read -r -d '' NAME <<EOF`."""
        if len(raw) > 2 and raw[0].parts == ["read"]:
            name, body = raw[-2].parts, raw[-1].parts
            if name and isinstance(name[0], str) and body and isinstance(body[0], str) and body[0].startswith("\n"):
                self.variables[name[0]] = self._array(f"({body[0].strip()})")

    def _expand(self, word: RawWord, split: bool = True) -> list[Word]:
        """Return the words that a word becomes; a variable without quotes is split at white space."""
        parts = [part for part in word.parts if part]
        pieces = [one for part in parts for one in ([part] if isinstance(part, str) else self._value(part))]
        only = parts[0] if len(parts) == 1 else None
        if isinstance(only, Variable) and len(pieces) > 1:
            return [Word(piece, word.line) for piece in pieces]
        joined = _joined(pieces)
        splits = split and isinstance(only, Variable) and not word.quoted
        if isinstance(joined, Unread) or not splits:
            return [Word(joined, word.line)] if joined or word.quoted or not split else []
        return [Word(one, word.line) for one in joined.split()]

    def _value(self, variable: Variable) -> list[Value]:
        if not variable.name:
            return [Unread(variable.text, "the shell computes it")]
        if variable.name in self.variables:
            return self.variables[variable.name]
        if variable.default is not None:
            return (
                [variable.default] if "$" not in variable.default else [Unread(variable.text, "the shell computes it")]
            )
        if not NAME.fullmatch(variable.name):
            return [Unread(variable.text, "it is an argument of the script")]
        return [Unread(variable.text, f"the script does not set the variable {variable.name}")]


def _joined(pieces: list[Value]) -> Value:
    """Return one value of several; unread if one of them is."""
    unread = [piece for piece in pieces if isinstance(piece, Unread)]
    text = "".join(map(_as_text, pieces))
    return Unread(text, unread[0].reason) if unread else text


def _as_text(value: Value) -> str:
    return value.text if isinstance(value, Unread) else value


def _without_redirections(raw: list[RawWord]) -> list[RawWord]:
    """Return the words without `> file`, `2>&1` and brackets."""
    kept: list[RawWord] = []
    skip = False
    for word in raw:
        first = word.parts[0] if word.parts and not word.quoted else ""
        if isinstance(first, str) and REDIRECTION.fullmatch(first):
            if kept and kept[-1].parts in (["1"], ["2"]):
                kept.pop()
            skip = "&" not in first
        elif skip:
            skip = False
        elif word.parts not in (["("], [")"]):
            kept.append(word)
    return kept
