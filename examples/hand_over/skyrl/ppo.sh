#!/usr/bin/env bash
# PPO of SkyRL 0.3.0 on 8 GPUs with scores of `rlhf-losses serve`, which another machine or GPU runs:
#
#     rlhf-losses serve --model runs/reward-model
#
# SkyRL has no reward models of its own. Its environment asks the server: examples/serve/skyrl_environment.py, which
# registers reward_model and then starts SkyRL. The rows have the columns prompt (messages) and env_class.
set -euo pipefail
export PYTHONPATH="$(dirname "$0")/../../serve${PYTHONPATH:+:$PYTHONPATH}"
export REWARD_URL=${REWARD_URL:-http://127.0.0.1:8000}

python -m skyrl_environment \
  data.train_data="['prompts/train.parquet']" \
  data.val_data="['prompts/test.parquet']" \
  environment.env_class=reward_model \
  trainer.strategy=fsdp \
  trainer.policy.model.path=Qwen/Qwen3-0.6B \
  trainer.critic.model.path=Qwen/Qwen3-0.6B \
  trainer.placement.colocate_all=true \
  trainer.placement.policy_num_gpus_per_node=8 \
  trainer.placement.critic_num_gpus_per_node=8 \
  trainer.placement.ref_num_gpus_per_node=8 \
  generator.inference_engine.num_engines=8 \
  generator.inference_engine.tensor_parallel_size=1 \
  generator.inference_engine.gpu_memory_utilization=0.6 \
  generator.n_samples_per_prompt=1 \
  generator.sampling_params.max_generate_length=1024 \
  generator.sampling_params.temperature=1.0 \
  trainer.algorithm.advantage_estimator=gae \
  trainer.algorithm.gamma=1.0 \
  trainer.algorithm.lambd=0.95 \
  trainer.algorithm.use_kl_in_reward=true \
  trainer.algorithm.use_kl_loss=false \
  trainer.algorithm.kl_estimator_type=k1 \
  trainer.algorithm.kl_loss_coef=0.01 \
  trainer.algorithm.advantage_batch_normalize=true \
  trainer.algorithm.eps_clip_low=0.2 \
  trainer.algorithm.eps_clip_high=0.2 \
  trainer.algorithm.value_clip=0.2 \
  trainer.policy.optimizer_config.lr=1e-6 \
  trainer.critic.optimizer_config.lr=1e-5 \
  trainer.train_batch_size=1024 \
  trainer.policy_mini_batch_size=256 \
  trainer.critic_mini_batch_size=256 \
  trainer.micro_train_batch_size_per_gpu=8 \
  trainer.micro_forward_batch_size_per_gpu=16 \
  trainer.update_epochs_per_batch=4 \
  trainer.max_prompt_length=1024 \
  trainer.epochs=1 \
  trainer.ckpt_interval=50 \
  trainer.eval_interval=50 \
  trainer.logger=console \
  "$@"
