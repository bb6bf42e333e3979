"""Checks the files of `examples/hand_over` against the configurations of the systems, and lists their settings.

    python integration_tests/hand_over_configurations.py FOLDER

FOLDER has the unpacked packages `verl-0.9.1`, `openrlhf-0.11.2`, `skyrl-0.3.0` and `skyrl_gym-0.4.0`, and a clone of
NeMo-RL as `nemo_rl-0.6.0`. hydra-core, omegaconf, pandas, requests and pydantic are needed, and Python 3.12 for SkyRL.
Nothing is trained: Hydra composes the configuration of verl, the parser of OpenRLHF parses its arguments, the
dataclasses of SkyRL read theirs, and the file of NeMo-RL is compared with those that it extends (its classes need Ray).
"""

import argparse
import ast
import shlex
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

EXAMPLES = Path(__file__).parent.parent / "examples" / "hand_over"
LISTS = Path(__file__).parent.parent / "tests" / "migrate" / "settings"


def dotted(tree: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the names of all values of a nested mapping."""
    for key, value in tree.items():
        yield f"{prefix}{key}"
        if isinstance(value, dict):
            yield from dotted(value, f"{prefix}{key}.")


def check_verl(folder: Path) -> list[str]:
    """Compose verl's configuration with the example, and return all settings of verl."""
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    defaults = folder / "verl-0.9.1" / "verl" / "trainer" / "config"
    with initialize_config_dir(str(defaults), version_base=None):
        original = OmegaConf.to_container(compose("ppo_trainer"))
    with initialize_config_dir(str(EXAMPLES / "verl"), version_base=None):
        changed = compose("ppo", overrides=[f"hydra.searchpath=[file://{defaults}]"])
    assert changed.reward.reward_model.model_path == "runs/reward-model"
    OmegaConf.to_container(changed, resolve=True)
    known = set(dotted(original))
    assert set(dotted(OmegaConf.to_container(changed))) <= known
    return sorted(known)


def check_openrlhf(folder: Path) -> list[str]:
    """Parse the flags of the example with OpenRLHF's parser, and return its flags."""
    source = folder / "openrlhf-0.11.2" / "openrlhf-0.11.2.data" / "purelib" / "openrlhf" / "cli" / "train_ppo_ray.py"
    main = ast.parse(source.read_text(encoding="utf-8")).body[-1]
    assert isinstance(main, ast.If)
    end = next(index for index, one in enumerate(main.body) if "parse_args" in ast.unparse(one))
    names: dict[str, Any] = {"argparse": argparse, "datetime": datetime}
    exec(compile(ast.Module(main.body[:end], []), str(source), "exec"), names)  # the statements that add arguments
    parser: argparse.ArgumentParser = names["parser"]
    parser.parse_args(flags_of(EXAMPLES / "openrlhf" / "ppo.sh", "openrlhf.cli.train_ppo_ray"))
    return sorted(flag.lstrip("-") for action in parser._actions for flag in action.option_strings)


def check_skyrl(folder: Path) -> list[str]:
    """Read the overrides of the example with SkyRL's dataclasses, and return all settings."""
    sys.path[:0] = [str(folder / "skyrl-0.3.0"), str(folder / "skyrl_gym-0.4.0")]
    for module in ("backends.skyrl_train.inference_servers.utils", "train.utils.utils"):  # they import torch and vLLM
        sys.modules[f"skyrl.{module}"] = MagicMock()
    from omegaconf import OmegaConf
    from skyrl.train.config.config import SkyRLTrainConfig, build_nested_dataclass

    overrides = [word for word in flags_of(EXAMPLES / "skyrl" / "ppo.sh", "skyrl_environment") if word != "$@"]
    build_nested_dataclass(SkyRLTrainConfig, OmegaConf.to_container(OmegaConf.from_cli(overrides)))
    return sorted(skyrl_settings(SkyRLTrainConfig))


def skyrl_settings(cls: type, prefix: str = "") -> Iterator[str]:
    """Yield the names of the fields of a dataclass and of those in it."""
    from dataclasses import fields, is_dataclass
    from typing import get_args, get_type_hints

    hints = get_type_hints(cls)
    for one in fields(cls):
        yield f"{prefix}{one.name}"
        kinds = [hints[one.name], *get_args(hints[one.name])]
        for kind in kinds:
            if isinstance(kind, type) and is_dataclass(kind):
                yield from skyrl_settings(kind, f"{prefix}{one.name}.")


def check_nemo_rl(folder: Path) -> list[str]:
    """Merge the example with the files that it extends, and return their settings."""
    from omegaconf import OmegaConf

    configs = folder / "nemo_rl-0.6.0" / "examples" / "configs"
    base = OmegaConf.to_container(OmegaConf.load(configs / "ppo_math_1B.yaml"))
    rewards = OmegaConf.to_container(OmegaConf.load(configs / "grpo_rm_1B.yaml"))
    data = ast.parse((folder / "nemo_rl-0.6.0" / "nemo_rl" / "data" / "__init__.py").read_text(encoding="utf-8"))
    rows = next(one for one in data.body if getattr(one, "name", "") == "ResponseDatasetConfig")
    columns = [one.target.id for one in rows.body if isinstance(one, ast.AnnAssign)]
    splits = {f"data.{split}.{column}" for split in ("train", "validation", "default") for column in columns}
    known = {*dotted(base), *dotted({"env": rewards["env"]}), *splits}
    changed = OmegaConf.to_container(OmegaConf.load(EXAMPLES / "nemo_rl" / "ppo.yaml"))
    unknown = set(dotted(changed)) - known - {"defaults"}
    assert not unknown, unknown
    return sorted(known)


def flags_of(script: Path, program: str) -> list[str]:
    """Return the words after a program in a script, as bash passes them."""
    words = shlex.split(script.read_text(encoding="utf-8").replace("\\\n", " "), comments=True)
    return words[words.index(program) + 1 :]


CHECKS = {
    "verl-0.9.1-ppo": check_verl,
    "openrlhf-0.11.2-train_ppo": check_openrlhf,
    "skyrl-0.3.0-ppo": check_skyrl,
    "nemo_rl-0.6.0-ppo": check_nemo_rl,
}


def main(folder: Path) -> None:
    """Check all files, and write the lists of settings that there are none of yet."""
    for name, check in CHECKS.items():
        settings = check(folder)
        file = LISTS / f"{name}.tsv"
        if not file.exists():
            file.write_text("".join(f"{one}\n" for one in settings), encoding="utf-8")
        print(f"{name}: {len(settings)} settings, the example is valid")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
