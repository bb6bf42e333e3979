"""The documented commands start two connected processes, or are refused before a model is loaded."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ACCELERATE = [sys.executable, "-m", "accelerate.commands.launch"]
DDP = Path(__file__).parents[1] / "examples" / "accelerate" / "ddp.yaml"


def run(*command, **variables):
    """Run a command with other environment variables, and return its output and its exit code."""
    words = [str(word) for word in command]
    return subprocess.run(
        words, capture_output=True, text=True, check=False, timeout=240, env={**os.environ, **variables}
    )


def test_accelerate_launch_trains_one_model_in_two_processes(language_model, write_rows, tmp_path):
    rows = write_rows(*({"prompt": f"{i} ", "chosen": f"good {i}", "rejected": f"bad {i}"} for i in range(8)))
    launch = [*ACCELERATE, "--config_file", DDP, "--main_process_port", "0", "-m", "rlhf_losses", "train"]
    data = ["--model", language_model, "--dataset", rows, "--loss", "bradley_terry", "--output_dir", tmp_path / "run"]
    settings = ["--max_steps", "2", "--per_device_train_batch_size", "2", "--use_cpu", "--report_to", "none"]
    done = run(*launch, *data, *settings)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Trained on 8 of 8 rows") == 1
    state = json.loads((tmp_path / "run" / "checkpoint-2" / "trainer_state.json").read_text())
    assert state["epoch"] == 1  # two steps of two rows in each of two processes are all eight rows


@pytest.mark.skipif(shutil.which("mpirun") is None, reason="mpirun is not installed")
def test_mpirun_of_a_command_of_one_process_is_refused():
    root = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    done = run("mpirun", "--oversubscribe", "-np", "2", sys.executable, "-m", "rlhf_losses", "score", **root)
    assert done.returncode == 2
    assert "has started 2 processes (OMPI_COMM_WORLD_SIZE=2)" in done.stderr
