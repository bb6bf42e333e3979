#!/usr/bin/env bash
# slime with scores of `rlhf-losses serve`. The address is used as it is; a key is part of it: http://key:KEY@HOST:8000/remote_rm.
# For an object in place of a number: REWARD_URL=.../remote_rm?reward_key=score and --reward-key score.
set -euo pipefail

python train.py \
    --rm-type remote_rm \
    --rm-url "${REWARD_URL:-http://127.0.0.1:8000/remote_rm}" \
    --prompt-data "${PROMPTS:?JSON Lines with prompts}" \
    --input-key "${INPUT_KEY:-prompt}" \
    --apply-chat-template \
    --n-samples-per-prompt 8 \
    "$@"
