"""Reads the settings of a Python script with TRL's trainers from its syntax tree; nothing is executed."""

import ast
import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rlhf_losses.errors import InvalidSettingError, first_line
from rlhf_losses.migrate.found_settings import Found, Source, Unread

TRAINERS = {"PPOTrainer": "trl-ppo", "PRMTrainer": "trl-prm", "RewardTrainer": "trl-reward"}
"""The system and command of each trainer."""

CONFIGS = {"PPOConfig": "trl-ppo", "PRMConfig": "trl-prm", "RewardConfig": "trl-reward"}

PARAMETERS = {
    "PPOTrainer": "args processing_class model ref_model reward_model train_dataset value_model data_collator "
    "eval_dataset optimizers callbacks peft_config",
    "PRMTrainer": "model args data_collator train_dataset eval_dataset processing_class model_init compute_metrics "
    "callbacks optimizers preprocess_logits_for_metrics peft_config",
    "RewardTrainer": "model args data_collator train_dataset eval_dataset processing_class compute_metrics callbacks "
    "optimizers optimizer_cls_and_kwargs preprocess_logits_for_metrics peft_config",
    "load_dataset": "path name data_dir data_files split",
}
"""Parameters of calls, in the order in which they can be passed without a name."""

OPERATORS: Mapping[type[ast.operator | ast.unaryop], Callable[..., Any]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
}


def read_python(text: str, name: str) -> tuple[list[Source], list[str]]:
    """Return the trainers of a script with their settings, and the names of trainers that are none of TRL's three.

    Args:
        text: the script.
        name: its name, for messages.

    Raises:
        InvalidSettingError: the text is not Python.
    """
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise InvalidSettingError(f"'{name}' is not Python: {first_line(error)}. Correct the file.") from error
    script = _Script(tree)
    return script.sources(), script.other_trainers()


class _Script:
    """The syntax tree of a script, with the values of its variables."""

    def __init__(self, tree: ast.Module) -> None:
        self.tree = tree
        self.aliases = {
            alias.asname or alias.name: alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        self.assigned: dict[str, list[ast.expr]] = {}
        for node in ast.walk(tree):
            for target, value in _assignments(node):
                self.assigned.setdefault(target, []).append(value)
        self.calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]

    def called(self, call: ast.Call) -> str:
        """Return the name of the function or class of a call, without modules."""
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        return self.aliases.get(name, name)

    def sources(self) -> list[Source]:
        """Return one source for each trainer; a configuration without a trainer counts too."""
        trainers = [call for call in self.calls if self.called(call) in TRAINERS]
        configs = [call for call in self.calls if self.called(call) in CONFIGS]
        used = {id(config) for trainer in trainers for config in self._config_of(trainer)}
        sources = [self._source(TRAINERS[self.called(trainer)], trainer) for trainer in trainers]
        left = [config for config in configs if id(config) not in used and not trainers]
        sources += [self._source(CONFIGS[self.called(config)], config) for config in left]
        return sources

    def other_trainers(self) -> list[str]:
        """Return the names of other trainers that the script creates."""
        names = {self.called(call) for call in self.calls}
        return sorted(name for name in names if name.endswith("Trainer") and name not in TRAINERS)

    def _source(self, key: str, call: ast.Call) -> Source:
        settings = [one for config in self._config_of(call) for one in self._config_settings(config)]
        if self.called(call) in TRAINERS:
            settings += self._trainer_settings(call)
            for other in self.calls:
                if self.called(other) in ("LoraConfig", "ModelConfig", "ScriptArguments", "BitsAndBytesConfig"):
                    prefix = {"LoraConfig": "lora.", "BitsAndBytesConfig": "bitsandbytes."}.get(self.called(other), "")
                    settings += self._keywords(other, prefix)
        where = f"{self.called(call)} (line {call.lineno})"
        return Source(key, tuple(settings), None, tuple(self._notes()), where)

    def _notes(self) -> Iterator[str]:
        if any(self.called(call) in ("HfArgumentParser", "TrlParser") for call in self.calls):
            yield (
                "The script reads settings from its command line. Give the shell script with that command too: "
                "rlhf-losses migrate run.sh."
            )

    def _config_of(self, call: ast.Call) -> list[ast.Call]:
        """Return the call that creates the configuration of a trainer."""
        if self.called(call) in CONFIGS:
            return [call]
        given = self._arguments(call).get("args")
        for node in self._values_of(given):
            if isinstance(node, ast.Call) and self.called(node) in CONFIGS:
                return [node]
        return []

    def _values_of(self, node: ast.expr | None) -> list[ast.expr]:
        """Return an expression, or those that a variable has."""
        if isinstance(node, ast.Name):
            return self.assigned.get(node.id, [])
        return [] if node is None else [node]

    def _config_settings(self, call: ast.Call) -> Iterator[Found]:
        yield from self._keywords(call, "", ("output_dir",))
        names = {name for name, values in self.assigned.items() if call in values}
        for node in (one for one in ast.walk(self.tree) if isinstance(one, ast.Assign)):
            for target in node.targets:
                if isinstance(target, ast.Attribute) and getattr(target.value, "id", "") in names:
                    yield Found(target.attr, self.value(node.value), f"line {node.lineno}")

    def _arguments(self, call: ast.Call) -> dict[str, ast.expr]:
        """Return the arguments of a call by name; those of a dictionary after `**` too, if it is in the script."""
        order = PARAMETERS.get(self.called(call), "").split()
        named = dict(zip(order, call.args, strict=False))
        for keyword in call.keywords:
            if keyword.arg is not None:
                named[keyword.arg] = keyword.value
            else:
                named.update(self._unpacked(keyword.value))
        return named

    def _unpacked(self, node: ast.expr) -> dict[str, ast.expr]:
        values = self._values_of(node)
        only = values[0] if len(values) == 1 else None
        if isinstance(only, ast.Dict) and None not in only.keys:
            keys = [str(self.value(key)) for key in only.keys if key is not None]
            return dict(zip(keys, only.values, strict=True))
        if isinstance(only, ast.Call) and self.called(only) == "dict" and not only.args:
            return {word.arg: word.value for word in only.keywords if word.arg}
        return {f"**{ast.unparse(node)}": node}

    def _keywords(self, call: ast.Call, prefix: str, order: tuple[str, ...] = ()) -> Iterator[Found]:
        arguments = {**dict(zip(order, call.args, strict=False)), **self._arguments(call)}
        for name, node in arguments.items():
            yield Found(prefix + name, self.value(node), f"line {node.lineno}")

    def _trainer_settings(self, call: ast.Call) -> Iterator[Found]:
        for name, node in self._arguments(call).items():
            if name == "args":
                if not self._config_of(call):
                    yield Found("trainer.args", self._unread(node), f"line {node.lineno}")
            elif name in ("train_dataset", "eval_dataset"):
                yield from self._dataset(name, node)
            else:
                yield Found(f"trainer.{name}", self.value(node), f"line {node.lineno}")

    def _dataset(self, name: str, node: ast.expr) -> Iterator[Found]:
        """Yield the name of a dataset of the Hub, its configuration and its split."""
        place, split = f"line {node.lineno}", None
        if isinstance(node, ast.Subscript):
            split, node = self.value(node.slice), node.value
        values = self._values_of(node)
        if len(values) == 1 and isinstance(values[0], ast.Subscript):
            split, values = self.value(values[0].slice), self._values_of(values[0].value)
        only = values[0] if len(values) == 1 else None
        if not isinstance(only, ast.Call) or self.called(only) != "load_dataset":
            yield Found(f"trainer.{name}", self._unread(node), place)
            return
        arguments = {key: self.value(value) for key, value in self._arguments(only).items()}
        yield Found(f"trainer.{name}", arguments.pop("path", Unread(ast.unparse(only), "it has no path")), place)
        if split is not None:
            arguments["split"] = split
        for key, value in arguments.items():
            yield Found(f"{name}.{key}", value, f"line {only.lineno}")

    def value(self, node: ast.expr) -> Any:
        """Return the value of an expression of literals and of variables with one such value, or an `Unread`."""
        try:
            return self._evaluate(node, ())
        except _NoValueError as error:
            return Unread(_shortened(node), str(error))

    def _unread(self, node: ast.expr) -> Unread:
        return Unread(_shortened(node), self._reason(node))

    def _reason(self, node: ast.expr) -> str:
        return f"the script computes {_shortened(node)}"

    def _evaluate(self, node: ast.expr, visited: tuple[str, ...]) -> Any:
        if isinstance(node, ast.Constant):
            return node.value
        if isinstance(node, ast.Name):
            return self._variable(node.id, visited)
        if isinstance(node, ast.List | ast.Tuple | ast.Set):
            return [self._evaluate(one, visited) for one in node.elts]
        if isinstance(node, ast.Dict) and None not in node.keys:
            pairs = zip(node.keys, node.values, strict=True)
            return {self._evaluate(key, visited): self._evaluate(one, visited) for key, one in pairs if key}
        if isinstance(node, ast.UnaryOp | ast.BinOp):
            return self._arithmetic(node, visited)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "torch":
            return node.attr
        if isinstance(node, ast.Call):
            return self._loaded(node, visited)
        raise _NoValueError(self._reason(node))

    def _variable(self, name: str, visited: tuple[str, ...]) -> Any:
        values = self.assigned.get(name, [])
        if not values or name in visited:
            raise _NoValueError(f"the variable {name} has no value in the script")
        if len(values) > 1:
            raise _NoValueError(f"the script assigns several values to {name}")
        return self._evaluate(values[0], (*visited, name))

    def _arithmetic(self, node: ast.UnaryOp | ast.BinOp, visited: tuple[str, ...]) -> Any:
        operands = [node.operand] if isinstance(node, ast.UnaryOp) else [node.left, node.right]
        values = [self._evaluate(one, visited) for one in operands]
        if not all(isinstance(one, int | float) and abs(one) < 1e15 for one in values):
            raise _NoValueError(self._reason(node))
        function = OPERATORS.get(type(node.op))
        if function is None or (isinstance(node.op, ast.Div | ast.FloorDiv) and not values[1]):
            raise _NoValueError(self._reason(node))
        return function(*values)

    def _loaded(self, node: ast.Call, visited: tuple[str, ...]) -> Any:
        """Return the name of a model or a tokenizer that `from_pretrained` loads, or a dictionary."""
        if self.called(node) == "from_pretrained" and node.args:
            return self._evaluate(node.args[0], visited)
        if self.called(node) == "dict" and not node.args and all(word.arg for word in node.keywords):
            return {str(word.arg): self._evaluate(word.value, visited) for word in node.keywords}
        if self.called(node) in ("LoraConfig", "BitsAndBytesConfig"):
            return True
        raise _NoValueError(self._reason(node))


class _NoValueError(Exception):
    """An expression has no value that can be read."""


def _assignments(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Yield variables and the expressions that are assigned to them."""
    if isinstance(node, ast.Assign):
        for target in node.targets:
            if isinstance(target, ast.Name):
                yield target.id, node.value
            elif isinstance(target, ast.Tuple):
                values = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value] * len(target.elts)
                yield from (
                    (one.id, value)
                    for one, value in zip(target.elts, values, strict=False)
                    if isinstance(one, ast.Name)
                )
    elif isinstance(node, ast.AnnAssign | ast.AugAssign | ast.NamedExpr) and isinstance(node.target, ast.Name):
        if node.value is not None:
            yield node.target.id, node.value
        if isinstance(node, ast.AugAssign):
            yield node.target.id, node.value  # a second value: the variable changes


def _shortened(node: ast.expr) -> str:
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 60 else f"{text[:57]}..."
