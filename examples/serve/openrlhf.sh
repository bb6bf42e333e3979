#!/usr/bin/env bash
# PPO of OpenRLHF 0.11 with scores of `rlhf-losses serve`. Several addresses take turns: a,b.
# A key is part of the address: http://key:KEY@HOST:8000/get_reward.
set -euo pipefail

python -m openrlhf.cli.train_ppo_ray \
    --actor.model_name_or_path "${POLICY:-Qwen/Qwen3-0.6B}" \
    --reward.remote_url "${REWARD_URL:-http://127.0.0.1:8000/get_reward}" \
    --data.prompt_dataset "${PROMPTS:?dataset with prompts}" \
    --data.input_key "${INPUT_KEY:-prompt}" \
    --data.apply_chat_template \
    "$@"
