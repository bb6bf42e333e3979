"""Tiny training runs whose processes are killed or whose checkpoints are damaged, and what they must give."""

import hashlib
import json
import logging
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification
from transformers.trainer_callback import PrinterCallback

from rlhf_losses import PPOConfig, PPOTrainer, RewardConfig, RewardTrainer
from rlhf_losses.sandbox.stories import vocabulary
from rlhf_losses.sandbox.tiny_models import build_tokenizer

TIMES = ("runtime", "per_second", "step_time", "time/")
"""Parts of the names of logged times, which differ between runs."""

RESULT = "result.json"
OUTPUT = "output.txt"


@dataclass(frozen=True)
class Case:
    """A kind of run.

    Attributes:
        name: name in tables.
        make: returns the trainer, with a folder for its output and changed settings.
        processes: number of processes.
    """

    name: str
    make: Callable[..., Any]
    processes: int = 1


def reward_trainer(folder: Path, streamed: bool = False, adapters: bool = False, **changes: Any) -> RewardTrainer:
    """Return a trainer of a tiny reward model with dropout.

    Args:
        folder: output folder.
        streamed: read the data as a stream, more than once.
        adapters: train adapters in place of the whole model.
        changes: settings.
    """
    tokenizer, words = build_tokenizer(vocabulary()), vocabulary()
    pairs = [
        {
            "prompt": " ".join(words[i % len(words)] for i in range(n, n + 3)),
            "chosen": " ".join(words[(7 * i + n) % len(words)] for i in range(n % 4 + 1)),
            "rejected": " ".join(words[(5 * i + n) % len(words)] for i in range(n % 3 + 1)),
        }
        for n in range(40)
    ]
    data = Dataset.from_list(pairs)
    torch.manual_seed(0)
    model = LlamaForSequenceClassification(LlamaConfig(**_shape(tokenizer), attention_dropout=0.1, num_labels=1))
    settings = {
        "loss": "bradley_terry + 0.01 * centering",
        "learning_rate": 1e-2,
        "per_device_train_batch_size": 2,
        "gradient_accumulation_steps": 2,
    }
    return RewardTrainer(
        model,
        RewardConfig(**_settings(folder, settings | changes)),
        data.to_iterable_dataset() if streamed else data,
        processing_class=tokenizer,
        peft_config=LoraConfig(r=2, lora_dropout=0.1, target_modules=["q_proj", "v_proj"]) if adapters else None,
    )


def ppo_trainer(folder: Path, **changes: Any) -> PPOTrainer:
    """Return a PPO trainer of a tiny policy.

    Args:
        folder: output folder.
        changes: settings.
    """
    tokenizer, words = build_tokenizer(vocabulary()), vocabulary()
    torch.manual_seed(0)
    policy = LlamaForCausalLM(LlamaConfig(**_shape(tokenizer)))
    policy_folder = folder.parent / "policy"
    if not policy_folder.exists():
        policy.save_pretrained(policy_folder)
        tokenizer.save_pretrained(policy_folder)
    settings = {
        "per_device_train_batch_size": 4,
        "num_iterations": 2,
        "max_completion_length": 6,
        "learning_rate": 1e-2,
        "sanity_check": False,
        "score_normalization": "running",
        "kl_target": 0.5,
    }
    return PPOTrainer(
        str(policy_folder),
        _share_of_high_tokens,
        PPOConfig(**_settings(folder, settings | changes)),
        Dataset.from_dict({"prompt": [" ".join(words[n : n + 2]) for n in range(16)]}),
    )


CASES = (
    Case("LoRA", partial(reward_trainer, adapters=True)),
    Case("full", reward_trainer),
    Case("packed", partial(reward_trainer, layout="packed")),
    Case("streamed", partial(reward_trainer, streamed=True)),
    Case("two processes", reward_trainer, processes=2),
    Case("PPO", ppo_trainer),
)
"""The runs that are killed."""


class Run:
    """Processes that train one case in a folder, started by `os.fork`: the packages are imported once.

    Args:
        case: the case.
        folder: output folder; the result is beside it.
    """

    def __init__(self, case: Case, folder: Path) -> None:
        self.case = case
        self.folder = folder
        self.result_file = folder.with_name(f"{folder.name}-{RESULT}")
        self.output_file = folder.with_name(f"{folder.name}-{OUTPUT}")
        self.pids: list[int] = []

    def start(self, resume: str = "auto") -> None:
        """Start the processes.

        Args:
            resume: `resume_from_checkpoint`.
        """
        port = _free_port()
        sys.stdout.flush()
        for rank in range(self.case.processes):
            pid = os.fork()
            if pid == 0:
                self._child(rank, port, resume)
            self.pids.append(pid)

    def kill(self) -> None:
        """Kill all processes at once with SIGKILL."""
        for pid in self.pids:
            os.kill(pid, signal.SIGKILL)
        self.wait()

    def wait(self) -> list[int]:
        """Wait for the end of all processes and return their exit codes; that of a killed process is negative."""
        codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in self.pids]
        self.pids = []
        return codes

    def is_running(self) -> bool:
        """Return whether the main process has not ended; an ended process must still be waited for."""
        return os.waitid(os.P_PID, self.pids[0], os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    def result(self) -> Any:
        """Return the hash of the final weights and the logs, or None if the run is not complete."""
        return json.loads(self.result_file.read_text()) if self.result_file.exists() else None

    def _child(self, rank: int, port: int, resume: str) -> None:
        code = 1
        try:
            self._redirect_output()
            if self.case.processes > 1:
                world = str(self.case.processes)
                os.environ |= {
                    "RANK": str(rank),
                    "LOCAL_RANK": str(rank),
                    "WORLD_SIZE": world,
                    "LOCAL_WORLD_SIZE": world,
                }
                os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "ACCELERATE_USE_CPU": "true"}
            torch.set_num_threads(1)
            trainer = self.case.make(self.folder)
            trainer.remove_callback(PrinterCallback)
            trainer.train(resume)
            if rank == 0:
                partial = self.result_file.with_suffix(".part")
                partial.write_text(json.dumps(outcome(trainer)))
                partial.rename(self.result_file)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _redirect_output(self) -> None:
        descriptor = os.open(self.output_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        logging.basicConfig(level=logging.WARNING, stream=sys.stderr, force=True)


def outcome(trainer: Any) -> dict[str, Any]:
    """Return the hash of the weights of a trainer, and its logs without times."""
    weights = hashlib.sha256()
    modules = [trainer.model, *([trainer.critic] if hasattr(trainer, "critic") else [])]
    for module in modules:
        for name, value in trainer.accelerator.unwrap_model(module).state_dict().items():
            weights.update(name.encode())
            weights.update(value.contiguous().numpy().tobytes())
    logs = [
        {name: value for name, value in entry.items() if not any(time in name for time in TIMES)}
        for entry in trainer.state.log_history
    ]
    return {"weights": weights.hexdigest(), "logs": logs}


@contextmanager
def unbroken(case: Case, folder: Path) -> Iterator[tuple[Any, float]]:
    """Train a case without interruption; the context is its result and its duration in seconds.

    Args:
        case: the case.
        folder: output folder.

    Raises:
        RuntimeError: the run fails.
    """
    run, start = Run(case, folder), time.perf_counter()
    run.start()
    codes = run.wait()
    if any(codes):
        raise RuntimeError(f"the unbroken run of {case.name} failed: {run.output_file.read_text()[-3000:]}")
    yield run.result(), time.perf_counter() - start


def _settings(folder: Path, changes: dict[str, Any]) -> dict[str, Any]:
    return {
        "output_dir": str(folder),
        "max_steps": 12,
        "save_steps": 2,
        "save_total_limit": 1,
        "logging_steps": 5,
        "report_to": "none",
        "disable_tqdm": True,
        "bf16": False,
        "use_cpu": True,
        "dataloader_pin_memory": False,
        **changes,
    }


def _shape(tokenizer: Any) -> dict[str, Any]:
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": 64,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }


def _share_of_high_tokens(completion_ids: Sequence[Sequence[int]], **_: Any) -> list[float]:
    return [sum(token % 2 for token in ids) / len(ids) for ids in completion_ids]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
