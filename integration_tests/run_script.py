"""Run scripts in this process: in a new interpreter, importing torch and TRL takes longer than the script."""

import io
import os
import runpy
import sys
import warnings
from collections.abc import Iterator
from contextlib import chdir, contextmanager, redirect_stdout
from pathlib import Path
from unittest.mock import patch

HERE = Path()


def printed_by(script: Path, *arguments: str, cwd: Path = HERE) -> str:
    """Run a script as `python -W ignore script …` does, and return its output; its exceptions are not caught.

    The script can import modules of its folder.
    """
    output = io.StringIO()
    with (
        patch.object(sys, "argv", [str(script), *arguments]),
        patch.dict(os.environ),
        _modules_of_folder(script),
        chdir(cwd),
        redirect_stdout(output),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        runpy.run_path(str(script), run_name="__main__")
    return output.getvalue()


@contextmanager
def _modules_of_folder(script: Path) -> Iterator[None]:
    names = {file.stem for file in script.parent.glob("*.py")}
    with patch.object(sys, "path", [str(script.parent), *sys.path]):
        try:
            yield
        finally:
            for name in names & set(sys.modules):
                del sys.modules[name]
