"""Code that comes with a model is not executed unless it is trusted, and nothing asks on a terminal."""

import importlib
import io
import json
from pathlib import Path

import pytest

from rlhf_losses import Scorer
from rlhf_losses.errors import UnsupportedModelError
from rlhf_losses.training.run_tokenizer import set_chat_template

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


FOLDERS = {
    "auto_map_tokenizer": ["score", "inspect"],
    "auto_map_policy_processor": ["doctor"],
    "adapter_base_with_code": ["score_adapter"],
    "adapter_auto_mapping": ["score_adapter"],
    "pickled_adapter": ["score_adapter"],
    "pickled_weights": ["score"],
    "pickled_shards_outside": ["score"],
    "pickle_named_safetensors": ["score"],
    "custom_generate": ["score"],
    "jinja_globals": ["score_chat"],
    "jinja_format": ["score_chat"],
    "entry_points_in_data": ["plugins"],
    "arrow_extension_type": ["inspect_arrow"],
    "yaml_tags": ["train_config"],
    "segmentation_of_metadata": ["score"],
    "nested_json": ["score"],
    "binary_tokenizer": ["inspect"],
}
"""Cases of `benchmarks.reliability.malicious_folders` with the commands that are fast."""


@pytest.fixture(scope="module")
def malicious():
    """Return the benchmark."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[1]))
        yield importlib.import_module("benchmarks.reliability.malicious_folders")


@pytest.fixture(scope="module")
def harmless(malicious, tmp_path_factory):
    """Return the folder that each case changes."""
    return malicious.build_folder(tmp_path_factory.mktemp("harmless"), checkpoint=False)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("case", "actions"), FOLDERS.items(), ids=FOLDERS)
def test_a_malicious_folder_executes_nothing_and_has_no_traceback(malicious, harmless, case, actions):
    outcomes = list(malicious.run_case(case, harmless, actions))
    assert {outcome.result for outcome in outcomes} <= {"refused", "ignored"}, outcomes


@pytest.mark.upstream
def test_a_chat_template_of_a_tokenizer_with_code_is_refused_without_a_question(model_with_code, monkeypatch):
    folder, marker = model_with_code
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config |= {"tokenizer_class": "Other", "auto_map": {"AutoTokenizer": ["code.Config", None]}}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    answers = io.StringIO("y\ny\n")
    monkeypatch.setattr("sys.stdin", answers)
    with pytest.raises(UnsupportedModelError, match="comes with Python code"):
        set_chat_template(None, str(folder))
    assert not marker.exists()
    assert answers.tell() == 0
