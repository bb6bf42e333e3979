"""The dialects of RL systems and inference engines, one file each: requests and answers over the same scores."""

from fastapi import APIRouter

from rlhf_losses.serving.dialects import (
    llama_factory,
    ms_swift,
    nemo_gym,
    openrlhf,
    remote_rewards,
    sglang,
    shared_paths,
    slime,
    text_embeddings,
    vllm,
)

ROUTERS: tuple[APIRouter, ...] = (
    remote_rewards.router,
    openrlhf.router,
    vllm.router,
    sglang.router,
    slime.router,
    llama_factory.router,
    nemo_gym.router,
    text_embeddings.router,
    ms_swift.router,
    shared_paths.router,
)
"""The routes of all dialects."""
