"""A Hub that cannot be reached is one message at the end of a run, and one line before."""

import pytest
from huggingface_hub import HfApi

from rlhf_losses.checkpoints.uploads import uploading, uploading_while_training
from rlhf_losses.errors import RunStoppedError


def upload():
    """Ask a Hub that cannot be reached, or that must not be because of HF_HUB_OFFLINE."""
    HfApi(endpoint="http://127.0.0.1:9", token="hf_none").list_repo_files("user/repo")


def test_the_message_has_the_folder_and_the_command(tmp_path):
    message = rf"'{tmp_path}' could not be uploaded to user/repo: .*The folder has the whole model.*hf upload user/repo"
    with pytest.raises(RunStoppedError, match=message), uploading(tmp_path, "user/repo"):
        upload()


def test_a_run_goes_on_without_the_upload_of_a_checkpoint(caplog):
    with uploading_while_training("user/repo"):
        upload()
    (record,) = caplog.records
    assert record.getMessage().startswith("The checkpoint is not uploaded to user/repo: ")
    assert record.getMessage().endswith("The run goes on.")


def test_other_errors_stay(tmp_path):
    with pytest.raises(ZeroDivisionError), uploading(tmp_path, "user/repo"):
        1 / 0  # noqa: B018
    with pytest.raises(ZeroDivisionError), uploading_while_training("user/repo"):
        1 / 0  # noqa: B018
