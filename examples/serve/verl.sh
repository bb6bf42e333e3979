#!/usr/bin/env bash
# GRPO of verl 0.9 with scores of `rlhf-losses serve`. The rows of the data need extra_info.prompt, see verl_reward.py.
set -euo pipefail
export REWARD_URL=${REWARD_URL:-http://127.0.0.1:8000}

python -m verl.trainer.main_ppo \
    algorithm.adv_estimator=grpo \
    data.train_files="${TRAIN_FILES:?parquet file with prompts}" \
    data.val_files="${VAL_FILES:?parquet file with prompts}" \
    data.train_batch_size=256 \
    data.max_prompt_length=1024 \
    data.max_response_length=1024 \
    actor_rollout_ref.model.path="${POLICY:-Qwen/Qwen3-0.6B}" \
    actor_rollout_ref.rollout.name=vllm \
    actor_rollout_ref.rollout.n=8 \
    reward.custom_reward_function.path="$(dirname "$0")/verl_reward.py" \
    reward.custom_reward_function.name=compute_score \
    trainer.n_gpus_per_node="${GPUS:-8}" \
    trainer.total_epochs=1 \
    "$@"
