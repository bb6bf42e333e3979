#!/usr/bin/env bash
# PPO of OpenRLHF 0.11.2 with a reward model that rlhf-losses train has written to runs/reward-model, on 8 GPUs.
#
# OpenRLHF loads the folder itself: the head is `score`, without bias. For scores of `rlhf-losses serve`, replace
# --reward.model_name_or_path by --reward.remote_url http://127.0.0.1:8000/get_reward.
set -euo pipefail

python3 -m openrlhf.cli.train_ppo_ray \
  --actor.num_nodes 1 \
  --actor.num_gpus_per_node 8 \
  --critic.num_nodes 1 \
  --critic.num_gpus_per_node 8 \
  --reward.num_nodes 1 \
  --reward.num_gpus_per_node 8 \
  --ref.num_nodes 1 \
  --ref.num_gpus_per_node 8 \
  --train.colocate_all \
  --vllm.num_engines 8 \
  --vllm.tensor_parallel_size 1 \
  --vllm.gpu_memory_utilization 0.5 \
  --vllm.enable_sleep \
  --ds.enable_sleep \
  --ds.zero_stage 3 \
  --actor.model_name_or_path Qwen/Qwen3-0.6B \
  --reward.model_name_or_path runs/reward-model \
  --ckpt.output_dir runs/policy \
  --data.prompt_dataset prompts.jsonl \
  --data.input_key prompt \
  --data.apply_chat_template \
  --data.max_len 2048 \
  --rollout.max_new_tokens 1024 \
  --rollout.batch_size 1024 \
  --rollout.n_samples_per_prompt 1 \
  --train.batch_size 256 \
  --train.micro_batch_size 8 \
  --train.max_epochs 4 \
  --train.num_episodes 1 \
  --algo.advantage.estimator gae \
  --algo.advantage.gamma 1.0 \
  --algo.advantage.lambd 0.95 \
  --algo.kl.init_coef 0.01 \
  --algo.kl.estimator k1 \
  --actor.adam.lr 1e-6 \
  --critic.adam.lr 1e-5 \
  --actor.eps_clip 0.2 \
  --critic.value_clip 0.2 \
  --critic.freezing_steps 10 \
  --actor.gradient_checkpointing_enable \
  --logger.logging_steps 1 \
  --ckpt.save_steps 50
