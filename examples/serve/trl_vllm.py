"""GRPO of TRL: completions from a vLLM server, scores from `rlhf-losses serve`.

trl vllm-serve --model Qwen/Qwen3-0.6B                    # on one GPU
rlhf-losses serve --model runs/reward-model --port 8001   # on another
accelerate launch trl_vllm.py                             # on the rest
"""

import os

from datasets import load_dataset
from trl import GRPOConfig, GRPOTrainer

from rlhf_losses import RemoteScorer


def main() -> None:
    """Train."""
    trainer = GRPOTrainer(
        model=os.environ.get("POLICY", "Qwen/Qwen3-0.6B"),
        reward_funcs=RemoteScorer(os.environ.get("REWARD_URL", "http://127.0.0.1:8001")).as_async(),
        args=GRPOConfig("policy", use_vllm=True, vllm_mode="server", num_generations=8, logging_steps=10),
        train_dataset=load_dataset("json", data_files=os.environ.get("PROMPTS", "prompts.jsonl"), split="train"),
    )
    trainer.train()


if __name__ == "__main__":
    main()
