"""Writes the lists of settings in `settings/`, with their defaults, from the sources of the other systems.

The sources are read with `ast` and never imported. Download them into a folder outside of the repository:

    pip download --no-deps openrlhf==0.11.2 && unzip -d openrlhf-0.11.2 openrlhf-0.11.2-*.whl    # and so on
    python tests/migrate/extract_settings.py FOLDER
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

SETTINGS = Path(__file__).parent / "settings"
Settings = dict[str, str]

CLASSES = {
    "axolotl-0.19.0": {
        "config": (("AxolotlInputConfig",), "axolotl/utils/schemas"),
        "datasets": (("SFTDataset", "DPODataset", "StepwiseSupervisedDataset"), "axolotl/utils/schemas"),
    },
    "llamafactory-0.9.5": {
        "train": (
            ("ModelArguments", "DataArguments", "FinetuningArguments", "TrainingArguments", "GeneratingArguments"),
            "llamafactory/hparams",
        )
    },
    "ms_swift-4.6.0": {"rlhf": (("TrainArgumentsMixin", "RLHFArguments"), "swift")},
    "trl-0.24.0": {"ppo": (("PPOConfig",), "trl/trainer"), "prm": (("PRMConfig",), "trl")},
    "trl-1.12.0": {
        "ppo": (("PPOConfig",), "trl"),
        "reward": (("RewardConfig", "ModelConfig", "ScriptArguments", "DatasetMixtureConfig"), "trl"),
    },
    "trl-1.13.0": {
        "prm": (("PRMConfig",), "trl"),
        "reward": (("RewardConfig", "ModelConfig", "ScriptArguments", "DatasetMixtureConfig"), "trl"),
    },
    "trl-1.16.0": {"reward": (("RewardConfig", "ModelConfig", "ScriptArguments", "DatasetMixtureConfig"), "trl")},
    "transformers-4.46.3": {"training": (("TrainingArguments",), "transformers")},
    "transformers-4.57.6": {"training": (("TrainingArguments",), "transformers")},
    "transformers-5.16.1": {"training": (("TrainingArguments",), "transformers")},
}
"""Classes whose fields are settings and the folder of their module, by package and command."""

PARSERS = {
    f"openrlhf-{version}": {
        command: f"openrlhf-{version}.data/purelib/openrlhf/cli/{file}.py"
        for command, file in (("train_rm", "train_rm"), ("train_ppo", "train_ppo_ray"))
    }
    for version in ("0.8.11", "0.9.10", "0.10.0", "0.11.2")
}
"""Files with an argparse parser, by package and command."""


def class_fields(folder: Path, names: tuple[str, ...]) -> Settings:
    """Return the fields of classes and of their bases that the folder defines."""
    classes: dict[str, ast.ClassDef] = {}
    for file in sorted(one for one in folder.rglob("*.py") if "megatron" not in one.parts):
        nodes = ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        classes = {node.name: node for node in nodes if isinstance(node, ast.ClassDef)} | classes
    found = [field for name in names for field in fields_of(name, classes)]
    return {name: default for name, default in found if not name.startswith("_")}


def fields_of(name: str, classes: dict[str, ast.ClassDef]) -> Iterator[tuple[str, str]]:
    """Yield the fields of a class after those of its bases."""
    if name not in classes:
        return
    for base in classes[name].bases:
        if (own := ast.unparse(base).split(".")[-1]) != name:
            yield from fields_of(own, classes)
    for statement in classes[name].body:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            yield statement.target.id, default_of(statement.value)


def default_of(value: ast.expr | None) -> str:
    """Return the default of a field as it is written."""
    if isinstance(value, ast.Call):
        keywords = {word.arg: word.value for word in value.keywords}
        value = keywords.get("default", keywords.get("default_factory", value.args[0] if value.args else None))
    return "" if value is None else " ".join(ast.unparse(value).split())


def parser_arguments(file: Path) -> Settings:
    """Return the flags of an argparse parser; flags that a loop over texts adds are included."""
    return dict(flags_in(ast.parse(file.read_text(encoding="utf-8")), {}))


def flags_in(node: ast.AST, loop: Settings) -> Iterator[tuple[str, str]]:
    """Yield flags and defaults below a node, given the values of the variables of loops around it."""
    if isinstance(node, ast.For) and isinstance(node.iter, ast.Tuple) and isinstance(node.target, ast.Name):
        for element in node.iter.elts:
            for statement in node.body:
                yield from flags_in(statement, {**loop, node.target.id: ast.literal_eval(element)})
        return
    if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "add_argument":
        keywords = {word.arg: ast.unparse(word.value) for word in node.keywords}
        default = keywords.get("default", "False" if "store_true" in keywords.get("action", "") else "None")
        yield text_of(node.args[0], loop).removeprefix("--"), " ".join(default.split())
    for child in ast.iter_child_nodes(node):
        yield from flags_in(child, loop)


def text_of(node: ast.expr, loop: Settings) -> str:
    """Return a text, or an f-string of variables of loops."""
    if isinstance(node, ast.JoinedStr):
        return "".join(
            str(part.value) if isinstance(part, ast.Constant) else loop[ast.unparse(part.value)] for part in node.values
        )
    return str(ast.literal_eval(node))


def write(name: str, settings: Settings) -> None:
    """Write one list, sorted by name."""
    lines = [f"{setting}\t{default}\n" for setting, default in sorted(settings.items())]
    (SETTINGS / f"{name}.tsv").write_text("".join(lines), encoding="utf-8")
    print(f"{name}: {len(lines)}")


def main(folder: Path) -> None:
    """Write all lists."""
    for package, commands in CLASSES.items():
        for command, (names, place) in commands.items():
            write(f"{package}-{command}", class_fields(folder / package / place, names))
    for package, files in PARSERS.items():
        for command, file in files.items():
            write(f"{package}-{command}", parser_arguments(folder / package / file))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
