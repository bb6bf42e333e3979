"""Files with weights that cannot be read are refused with their name and a remedy, and execute nothing."""

import json

import pytest
import torch
from safetensors.torch import save_file

from rlhf_losses.errors import UnsupportedModelError
from rlhf_losses.models.weight_files import require_readable_weights


class Payload:
    """An object whose unpickling creates a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def refusal_of(folder) -> str:
    with pytest.raises(UnsupportedModelError) as caught:
        require_readable_weights(folder)
    return str(caught.value)


def write_index(folder, *files):
    weights = {f"weight.{index}": file for index, file in enumerate(files)}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weights}))


@pytest.mark.parametrize("zipped", [True, False])
def test_pickled_weights_are_readable_and_code_in_them_is_refused(tmp_path, zipped):
    file = tmp_path / "pytorch_model.bin"
    torch.save({"a": torch.zeros(2)}, file, _use_new_zipfile_serialization=zipped)
    require_readable_weights(tmp_path)
    torch.save({"a": Payload(str(tmp_path / "executed"))}, file, _use_new_zipfile_serialization=zipped)
    message = refusal_of(tmp_path)
    assert f"'{file}' cannot be read as weights: it contains code. Download the file again" in message
    assert not (tmp_path / "executed").exists()


def test_a_damaged_file_is_refused_with_its_name(tmp_path):
    save_file({"a": torch.zeros(100)}, tmp_path / "model.safetensors")
    require_readable_weights(tmp_path)
    content = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(content[:200])
    assert "model.safetensors' cannot be read as weights: " in refusal_of(tmp_path)


def test_the_files_of_an_index_are_checked(tmp_path):
    for name in ("a.safetensors", "b.safetensors"):
        save_file({"a": torch.zeros(2)}, tmp_path / name)
    write_index(tmp_path, "a.safetensors", "b.safetensors")
    require_readable_weights(tmp_path)
    (tmp_path / "b.safetensors").unlink()
    assert "names the file 'b.safetensors', which is missing" in refusal_of(tmp_path)


@pytest.mark.parametrize("name", ["../outside.bin", "/etc/passwd", "folder/a.bin"])
def test_a_file_outside_the_folder_is_refused(tmp_path, name):
    write_index(tmp_path, name)
    assert f"names the file '{name}', which is outside the folder" in refusal_of(tmp_path)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"weight_map": 3}'])
def test_an_index_that_cannot_be_read_is_refused(tmp_path, content):
    (tmp_path / "model.safetensors.index.json").write_text(content)
    assert "cannot be read as an index of weights" in refusal_of(tmp_path)


def test_a_model_on_the_hub_and_a_folder_without_weights_are_not_checked(tmp_path):
    require_readable_weights("organization/model")
    require_readable_weights(tmp_path)


@pytest.mark.parametrize("config", [{"num_hidden_layers": 10**30}, {"text_config": {"n_layer": 3}}])
def test_a_configuration_with_more_layers_than_tensors_is_refused(tmp_path, config):
    save_file({"a": torch.zeros(2), "b": torch.zeros(2)}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert "the files of weights have 2 tensors" in refusal_of(tmp_path)
    (tmp_path / "config.json").write_text('{"num_hidden_layers": 2}')
    require_readable_weights(tmp_path)
