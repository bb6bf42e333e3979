"""Code that comes with a model is not executed unless it is trusted, and nothing asks on a terminal."""

import io
import json

import pytest

from rlhf_losses import Scorer
from rlhf_losses.errors import UnsupportedModelError

CODE = """
from pathlib import Path
from transformers import LlamaConfig
Path(__file__).with_name("executed").touch()
Path({marker!r}).touch()
class Config(LlamaConfig):
    pass
"""


@pytest.fixture
def model_with_code(tmp_path, reward_model, tokenizer):
    """Return the folder of a reward model whose configuration is a class in a Python file, and the file it writes."""
    folder, marker = tmp_path / "model", tmp_path / "executed"
    reward_model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "code.py").write_text(CODE.format(marker=str(marker)))
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "other", "auto_map": {"AutoConfig": "code.Config"}}
    (folder / "config.json").write_text(json.dumps(config))
    return folder, marker


@pytest.mark.upstream
def test_a_scorer_does_not_execute_the_code_of_a_model(model_with_code):
    folder, marker = model_with_code
    with pytest.raises(UnsupportedModelError, match=r"comes with Python code, .*trust_remote_code=True"):
        Scorer.from_pretrained(folder)
    assert not marker.exists()


@pytest.mark.parametrize("command", ["score", "evaluate", "inspect", "train", "ppo"])
def test_no_command_asks_on_the_terminal(model_with_code, cli, write_rows, tmp_path, monkeypatch, command):
    folder, marker = model_with_code
    rows = write_rows({"prompt": "a", "chosen": "b", "rejected": "c"})
    words = [command, "--model", folder, "--dataset", rows]
    words += {"train": ["--loss", "bradley_terry", "--output_dir", tmp_path / "run"]}.get(command, [])
    words += {"ppo": ["--reward_model", folder, "--output_dir", tmp_path / "run"]}.get(command, [])
    answers = io.StringIO("y\ny\ny\n")
    monkeypatch.setattr("sys.stdin", answers)
    result = cli(*words)
    assert not marker.exists()
    assert answers.tell() == 0
    # `inspect` loads the tokenizer only, which has no code.
    assert result.code == (0 if command == "inspect" else 2)
    assert command == "inspect" or "rlhf-losses: " in result.err
