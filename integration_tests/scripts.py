"""Scripts in this process: an interpreter of their own imports torch and TRL anew, which takes longer than they do."""

import copy
import io
import os
import runpy
import sys
import warnings
from collections.abc import Iterator
from contextlib import chdir, contextmanager, redirect_stdout
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

HERE = Path()


def printed_by(script: Path, *arguments: str, cwd: Path = HERE) -> str:
    """Run a script as `python -W ignore script …` does, and return what it prints; what it raises fails the test.

    Modules that stand beside the script are found, and forgotten afterwards. The language model of a world is
    trained once for all scripts.
    """
    from rlhf_losses.sandbox import world

    said = io.StringIO()
    with (
        patch.object(sys, "argv", [str(script), *arguments]),
        patch.dict(os.environ),
        patch.object(world, "build_language_model", _language_model),
        _modules_beside(script),
        chdir(cwd),
        redirect_stdout(said),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        runpy.run_path(str(script), run_name="__main__")
    return said.getvalue()


@contextmanager
def _modules_beside(script: Path) -> Iterator[None]:
    names = {file.stem for file in script.parent.glob("*.py")}
    with patch.object(sys, "path", [str(script.parent), *sys.path]):
        try:
            yield
        finally:
            for name in names & set(sys.modules):
                del sys.modules[name]


def _language_model(_tokenizer: Any, seed: int = 0) -> Any:
    return copy.deepcopy(_trained(seed))


@cache
def _trained(seed: int) -> Any:
    from rlhf_losses.sandbox.stories import vocabulary
    from rlhf_losses.sandbox.tiny_models import build_language_model, build_tokenizer

    return build_language_model(build_tokenizer(vocabulary()), seed)
