"""A new plugin package: its names, and its files from templates."""

import builtins
import importlib.metadata
import keyword
import re
from collections.abc import Mapping
from dataclasses import dataclass

import jinja2

import rlhf_losses
from rlhf_losses.cli.argument_parser import CommandLineError
from rlhf_losses.errors import shown
from rlhf_losses.messages.class_names import snake_case

LONGEST = 50
"""Largest number of characters of a name, so that every file system accepts the names of the files."""

IMPORTED = ("Any", "Dataset", "Mapping", "Tensor")
"""Classes of other packages that the templates import; those of this package are in `rlhf_losses.__all__`."""

_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


@dataclass(frozen=True)
class PluginPackage:
    """The package of a plugin with one class.

    Attributes:
        kind: `"loss"`, `"converter"` or `"transform"`.
        name: name of the class in strings such as the value of `--loss`, in snake case.

    Examples:
        >>> package = PluginPackage("loss", "squared_hinge")
        >>> package.class_name, package.distribution, package.module
        ('SquaredHinge', 'rlhf-losses-squared-hinge', 'rlhf_losses_squared_hinge')
    """

    kind: str
    name: str

    @property
    def class_name(self) -> str:
        """Return the name of the class."""
        return "".join(word[:1].upper() + word[1:] for word in self.name.split("_"))

    @property
    def distribution(self) -> str:
        """Return the name that pip installs."""
        return f"rlhf-losses-{self.name.replace('_', '-')}"

    @property
    def module(self) -> str:
        """Return the name of the module."""
        return f"rlhf_losses_{self.name}"

    def require_valid_name(self) -> None:
        """Raise `CommandLineError` if the class could not be named in strings, or would hide another."""
        name, others = self.name, f"my_{self.name}, or another name"
        if not _NAME.fullmatch(name) or len(name) > LONGEST:
            raise CommandLineError(
                f"The name is {shown(name)}, but names are words of the letters a to z and digits, joined by single "
                f"underscores, with at most {LONGEST} characters. Write for example {_similar_name(name)}."
            )
        if keyword.iskeyword(name):
            raise CommandLineError(
                f"'{name}' is a keyword of Python, so it cannot be read in a string such as '{name} + 0.01 * "
                f"centering'. Choose {others}."
            )
        if snake_case(self.class_name) != name:
            raise CommandLineError(
                f"The class of '{name}' would be {self.class_name}, whose name in strings is "
                f"'{snake_case(self.class_name)}'. Write that name, or join no words of one letter or of digits."
            )
        if self.class_name.startswith("Test"):
            raise CommandLineError(
                f"The class of '{name}' would be {self.class_name}, which pytest takes for a group of tests. "
                f"Choose {others}."
            )
        if hasattr(builtins, self.class_name) or hasattr(rlhf_losses, self.class_name) or self.class_name in IMPORTED:
            raise CommandLineError(
                f"The class of '{name}' would be {self.class_name}, which would hide a class that exists. "
                f"Choose {others}."
            )

    def files(self) -> Mapping[str, str]:
        """Return the text of each file of the package, by file name."""
        templates = jinja2.Environment(
            loader=jinja2.PackageLoader("rlhf_losses.cli", "plugin_templates"),
            undefined=jinja2.StrictUndefined,
            keep_trailing_newline=True,
        )
        values = {
            "kind": self.kind,
            "name": self.name,
            "class_name": self.class_name,
            "distribution": self.distribution,
            "module": self.module,
            "minimum": ".".join(importlib.metadata.version("rlhf-losses").split(".")[:2]),
        }
        sources = {
            "pyproject.toml": "pyproject.toml.jinja",
            "README.md": f"{self.kind}/README.md.jinja",
            f"{self.module}.py": f"{self.kind}/module.py.jinja",
            f"test_{self.name}.py": f"{self.kind}/test.py.jinja",
        }
        return {file: templates.get_template(source).render(values) for file, source in sources.items()}


def _similar_name(text: str) -> str:
    """Return a valid name that is similar to a text, or an example of one."""
    words = re.findall(r"[a-z0-9]+", snake_case(text))
    name = "_".join(words).lstrip("0123456789_")
    return name if _NAME.fullmatch(name) and len(name) <= LONGEST else "squared_hinge"
