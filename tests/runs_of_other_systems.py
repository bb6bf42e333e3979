"""Runs of other systems as their users write them."""

OPENRLHF_RM = """\
set -x
read -r -d '' training_commands <<EOF
openrlhf.cli.train_rm \\
   --save_path ./checkpoint/rm \\
   --save_steps -1 \\
   --logging_steps 1 \\
   --train_batch_size 256 \\
   --micro_train_batch_size 4 \\
   --pretrain org/base \\
   --bf16 \\
   --max_epochs 1 \\
   --max_len 8192 \\
   --zero_stage 3 \\
   --learning_rate 9e-6 \\
   --dataset org/preferences \\
   --apply_chat_template \\
   --chosen_key chosen \\
   --rejected_key worse \\
   --packing_samples \\
   --gradient_checkpointing
EOF
# --use_wandb SECRET
if [[ ${1} != "slurm" ]]; then
    deepspeed --module $training_commands
fi
"""

OPENRLHF_PPO = """\
ray job submit --address="http://127.0.0.1:8265" --runtime-env-json='{"working_dir": "/openrlhf"}' \\
   -- python3 -m openrlhf.cli.train_ppo_ray \\
   --actor.num_nodes 1 --actor.num_gpus_per_node 2 \\
   --vllm.num_engines 2 \\
   --actor.model_name_or_path org/policy \\
   --reward.model_name_or_path org/reward \\
   --reward.remote_url http://localhost:5000/get_reward \\
   --ckpt.output_dir ./checkpoint/ppo \\
   --train.micro_batch_size 8 --train.batch_size 128 --rollout.batch_size 1024 \\
   --rollout.max_new_tokens 1024 \\
   --actor.adam.lr 5e-7 --critic.adam.lr 9e-6 --actor.adam.betas 0.9 0.98 \\
   --algo.kl.init_coef 0.02 \\
   --data.prompt_dataset org/prompts --data.input_key context_messages --data.apply_chat_template \\
   --reward.normalize_enable
"""

LLAMA_FACTORY_RM = """\
### model
model_name_or_path: org/base
trust_remote_code: true
stage: rm
do_train: true
finetuning_type: lora
lora_rank: 8
lora_target: all
dataset: dpo_en_demo
template: llama3
cutoff_len: 2048
max_samples: 1000
preprocessing_num_workers: 16
output_dir: saves/rm
logging_steps: 10
save_steps: 500
plot_loss: true
overwrite_output_dir: true
per_device_train_batch_size: 1
gradient_accumulation_steps: 8
learning_rate: 1.0e-4
num_train_epochs: 3.0
lr_scheduler_type: cosine
warmup_ratio: 0.1
bf16: true
ddp_timeout: 180000000
"""

LLAMA_FACTORY_PPO = """\
model_name_or_path: org/base
reward_model: saves/rm
stage: ppo
finetuning_type: lora
lora_rank: 16
dataset: identity
template: llama3
output_dir: saves/ppo
per_device_train_batch_size: 2
gradient_accumulation_steps: 4
ppo_buffer_size: 2
learning_rate: 1e-5
num_train_epochs: 3.0
warmup_ratio: 0.1
fp16: true
max_new_tokens: 512
top_k: 0
top_p: 0.9
"""

AXOLOTL_RM = """\
base_model: org/base
model_type: AutoModelForSequenceClassification
num_labels: 1
tokenizer_type: AutoTokenizer
reward_model: true
chat_template: gemma
datasets:
  - path: org/preferences
    type: bradley_terry.chat_template
    split: train
val_set_size: 0.0
output_dir: ./outputs/out
sequence_len: 2048
sample_packing: false
wandb_project: mine
gradient_accumulation_steps: 4
micro_batch_size: 2
num_epochs: 4
optimizer: adamw_bnb_8bit
lr_scheduler: cosine
learning_rate: 0.0002
bf16: true
tf32: true
gradient_checkpointing: true
flash_attention: true
warmup_ratio: 0.1
evals_per_epoch:
saves_per_epoch: 1
weight_decay: 0.0
special_tokens:
"""

AXOLOTL_PRM = """\
base_model: org/base
process_reward_model: true
datasets:
  - path: org/steps
    type: stepwise_supervised
    step_separator: "\\n\\n"
    max_completion_length: 512
    train_on_last_step_only: false
    split: train
adapter: qlora
load_in_4bit: true
lora_r: 32
lora_alpha: 64
lora_target_linear: true
sequence_len: 8192
micro_batch_size: 8
num_epochs: 1
optimizer: adamw_torch
lr_scheduler: cosine
learning_rate: 0.0002
warmup_steps: 10
output_dir: ./prm
"""

MS_SWIFT_RM = """\
NPROC_PER_NODE=4 CUDA_VISIBLE_DEVICES=0,1,2,3 \\
swift rlhf \\
    --rlhf_type rm \\
    --model org/base \\
    --dataset 'org/preferences' \\
    --load_from_cache_file true \\
    --split_dataset_ratio 0.01 \\
    --train_type lora \\
    --target_modules all-linear \\
    --torch_dtype bfloat16 \\
    --num_train_epochs 1 \\
    --per_device_train_batch_size 1 \\
    --gradient_accumulation_steps 4 \\
    --center_rewards_coefficient 0.01 \\
    --learning_rate 1e-4 \\
    --max_length 2048 \\
    --output_dir output \\
    --deepspeed zero2
"""

MS_SWIFT_PPO = """\
rlhf_type: ppo
model: org/policy
reward_model: org/reward
tuner_type: full
dataset: [org/prompts]
learning_rate: 1e-6
per_device_train_batch_size: 2
gradient_accumulation_steps: 4
num_ppo_epochs: 2
response_length: 256
temperature: 0.7
output_dir: output
"""

TRL_REWARD = """\
model_name_or_path: org/base
dataset_name: org/preferences
learning_rate: 1.0e-5
num_train_epochs: 1
eval_strategy: steps
eval_steps: 50
output_dir: Reward
"""

TRL_REWARD_SCRIPT = """\
from datasets import load_dataset
from peft import LoraConfig
from trl import RewardConfig, RewardTrainer as Trainer

RATE = 1e-5
dataset = load_dataset("org/preferences", split="train")
config = RewardConfig(output_dir="out", learning_rate=RATE, per_device_train_batch_size=2 * 4, bf16=True)
config.num_train_epochs = 2
trainer = Trainer(
    model="org/base",
    args=config,
    train_dataset=dataset,
    peft_config=LoraConfig(r=8, lora_alpha=16, target_modules=["q_proj", "v_proj"], task_type="SEQ_CLS"),
    callbacks=[Mine()],
)
trainer.train()
"""

TRL_PPO_SCRIPT = """\
import torch
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer
from trl.experimental.ppo import PPOConfig, PPOTrainer

tokenizer = AutoTokenizer.from_pretrained("org/policy", padding_side="left")
policy = AutoModelForCausalLM.from_pretrained("org/policy")
ref_policy = AutoModelForCausalLM.from_pretrained("org/policy")
value_model = AutoModelForSequenceClassification.from_pretrained("org/reward", num_labels=1)
reward_model = AutoModelForSequenceClassification.from_pretrained("org/reward", num_labels=1)
rows = load_dataset("org/prompts")["train"].map(tokenize)
args = PPOConfig("out", total_episodes=1000, num_mini_batches=2, per_device_train_batch_size=4,
                 gradient_accumulation_steps=4, kl_coef=0.1, missing_eos_penalty=1.0)
trainer = PPOTrainer(args=args, processing_class=tokenizer, model=policy, ref_model=ref_policy,
                     reward_model=reward_model, value_model=value_model, train_dataset=rows)
trainer.train()
"""

TRL_PRM_SCRIPT = """\
from datasets import load_dataset
from transformers import AutoModelForTokenClassification
from trl.experimental.prm import PRMConfig, PRMTrainer

dataset = load_dataset("org/steps")
model = AutoModelForTokenClassification.from_pretrained("org/base", num_labels=2)
trainer = PRMTrainer(
    model=model,
    args=PRMConfig(output_dir="prm", step_separator=" ", max_completion_length=256, **{"seed": 7}),
    train_dataset=dataset["train"],
    eval_dataset=dataset["test"],
)
"""

TRL_PPO_COMMAND = """\
accelerate launch --config_file examples/accelerate_configs/deepspeed_zero2.yaml --num_processes 4 \\
    examples/scripts/ppo/ppo.py \\
    --dataset_name org/prompts --dataset_train_split descriptiveness \\
    --output_dir pythia-1b-deduped-ppo \\
    --num_ppo_epochs 1 --num_mini_batches 1 --learning_rate 3e-6 \\
    --per_device_train_batch_size 1 --gradient_accumulation_steps 16 \\
    --total_episodes 10000 \\
    --model_name_or_path EleutherAI/pythia-1b-deduped \\
    --sft_model_path org/sft --reward_model_path org/reward \\
    --local_rollout_forward_batch_size 1 \\
    --missing_eos_penalty 1.0 --stop_token eos
"""

RUNS = {
    "openrlhf-rm": ("rm.sh", OPENRLHF_RM),
    "openrlhf-ppo": ("ppo.sh", OPENRLHF_PPO),
    "llama-factory-rm": ("rm.yaml", LLAMA_FACTORY_RM),
    "llama-factory-ppo": ("ppo.yaml", LLAMA_FACTORY_PPO),
    "axolotl-rm": ("rm.yml", AXOLOTL_RM),
    "axolotl-prm": ("prm.yml", AXOLOTL_PRM),
    "ms-swift-rm": ("rm.sh", MS_SWIFT_RM),
    "ms-swift-ppo": ("ppo.yaml", MS_SWIFT_PPO),
    "trl-reward": ("reward.yaml", TRL_REWARD),
    "trl-ppo": ("ppo.sh", TRL_PPO_COMMAND),
    "trl-prm": ("prm.py", TRL_PRM_SCRIPT),
}
"""One run of each system: the name of its file, and the content."""

SCRIPTS = {"reward": ("reward.py", TRL_REWARD_SCRIPT), "ppo": ("ppo.py", TRL_PPO_SCRIPT)}
"""Further scripts of TRL."""
