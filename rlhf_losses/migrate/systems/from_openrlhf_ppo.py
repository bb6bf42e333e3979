"""OpenRLHF's `train_ppo_ray`, with the dotted names of 0.11 and the names of earlier versions."""

from collections.abc import Iterator, Mapping
from typing import Any

from rlhf_losses.migrate.rules import (
    Constant,
    Decision,
    Joint,
    Rule,
    System,
    Unavailable,
    Unneeded,
    Values,
    Written,
    choice,
    each,
    to,
    to_several,
)
from rlhf_losses.migrate.systems.from_openrlhf_rm import RM
from rlhf_losses.migrate.systems.openrlhf_names import OLD_PPO_NAMES
from rlhf_losses.migrate.systems.openrlhf_shared import SCHEDULE, SHARED, schedule
from rlhf_losses.migrate.systems.training_arguments import SPEED, for_ppo, split


def _models(value: str) -> Any:
    names = value.split(",")
    return names[0] if len(names) == 1 else names


def _clip(value: list[float]) -> Any:
    low, high = value
    if low != -high:
        return Unavailable("A clip range is symmetric here", "Set score_clip to the smaller limit")
    return high


CRITIC = Unavailable(
    "Policy and critic have the same optimizer, apart from the learning rate",
    "The value of actor.* is used for both",
    ("adam", [0.9, 0.95], 1e-8, 0, 0.0, "cosine_with_min_lr", 0.03, 0.1, 1.0, 1),
)

VLLM = Unneeded("vLLM has arguments of its own, as in TRL: vllm_*")

PLACEMENT = Unneeded("all models are in each process; with share_base they share their weights")

ROLLOUT = Joint(
    ("per_device_train_batch_size", "gradient_accumulation_steps", "steps_per_generation"),
    "OpenRLHF counts the prompts of a rollout and the completions of a step over all processes; without a number of "
    "GPUs in the script they are those of one process",
)

PPO: Mapping[str, Rule] = {
    **SHARED,
    "actor.model_name_or_path": to("model_name_or_path"),
    "reward.model_name_or_path": to("reward_model_name_or_path", _models),
    "reward.remote_url": Unavailable(
        "Another protocol is spoken between rlhf-losses ppo and a server",
        "Set reward_model_name_or_path to the folder of the model, or to the address of rlhf-losses serve",
    ),
    "critic.model_name_or_path": to("critic"),
    "critic.save_value_network": Unneeded("checkpoints contain the critic"),
    "actor.gradient_checkpointing_enable": to("gradient_checkpointing"),
    "actor.gradient_checkpointing_reentrant": to(
        "gradient_checkpointing_kwargs", lambda value: {"use_reentrant": value}
    ),
    **each(
        ROLLOUT, "rollout.batch_size train.batch_size train.micro_batch_size actor.num_nodes actor.num_gpus_per_node"
    ),
    "rollout.n_samples_per_prompt": Joint(("num_generations", "steps_per_generation"), "Completions of a prompt"),
    "train.max_epochs": Joint(("num_iterations",), "Epochs of a rollout"),
    "train.num_episodes": to("num_train_epochs"),
    **each(
        Joint(
            ("max_completion_length",), "Prompt and completion have one limit in OpenRLHF, unless max_new_tokens is set"
        ),
        "rollout.max_new_tokens data.max_len generate_max_len",
    ),
    "prompt_max_len": Unavailable("Prompts that are too long are refused, not truncated", "Drop them from the data"),
    **each(Joint(("epsilon", "epsilon_high"), "Clip range of the ratio"), "actor.eps_clip actor.eps_clip_low_high"),
    "actor.dual_clip": to("delta"),
    "critic.value_clip": to("cliprange_value"),
    "algo.advantage.lambd": to_several("lam", "value_lam", note="OpenRLHF has one factor for advantages and returns"),
    "algo.advantage.gamma": to("gamma"),
    "algo.advantage.estimator": choice(
        "",
        {"gae": Unneeded("it is PPO's estimator")},
        Unavailable(
            "PPO has a critic and GAE", "For other estimators, a Scorer is a reward function of TRL's GRPO and RLOO"
        ),
    ),
    "algo.advantage.no_std_norm": Unavailable(
        "Advantages are shifted and scaled", "Set whiten_advantages: false for neither"
    ),
    **each(
        Unavailable(
            "Ratios are corrected for vLLM as in TRL",
            "Set vllm_importance_sampling_mode and its limits",
            ("off", None, False),
        ),
        "algo.advantage.is_correction_level enable_vllm_is_correction",
    ),
    **each(
        Unneeded("it belongs to the correction for vLLM"),
        """
            algo.advantage.is_correction_mode algo.advantage.is_correction_gating algo.advantage.is_correction_threshold
            vllm_is_truncated_threshold vllm_is_correction_type
        """,
    ),
    "algo.kl.init_coef": to("beta", note="In units of the scores, so score_normalization is none"),
    "algo.kl.target": to("kl_target"),
    "algo.kl.horizon": to("kl_horizon"),
    "algo.kl.estimator": to("kl_estimator"),
    "algo.kl.use_loss": Unavailable(
        "The KL penalty is part of the reward of each token", "Leave it out, or train with TRL's GRPO"
    ),
    "algo.kl.unbiased_gradient": Unneeded("it belongs to algo.kl.use_loss"),
    "actor.policy_loss_type": choice(
        "importance_sampling_level",
        {"ppo": Unneeded("it is the clipped objective"), "gspo": "sequence"},
        Unavailable("It is ppo or gspo", "Set importance_sampling_level"),
    ),
    "actor.loss_agg_mode": choice(
        "loss_type",
        {"token-mean": "dapo", "seq-mean-token-mean": "grpo"},
        Unavailable("This average is unknown", "Set loss_type"),
    ),
    "actor.aux_loss_coef": to("router_aux_loss_coef", lambda value: value or Unneeded("there is no such loss with 0")),
    "actor.entropy_coef": to("entropy_coef", lambda value: value or Unneeded("there is no such loss with 0")),
    "ptx_coef": Unavailable("It needs pretraining texts", "Set ptx_coef together with ptx_dataset"),
    "reward.clip_range": to("score_clip", _clip),
    "reward.normalize_enable": Unavailable(
        "OpenRLHF subtracts the mean that it has saved with the reward model",
        "Set score_normalization: running, or reference_samples to a dataset with the columns prompt and completion",
    ),
    "reward.stop_properly_penalty_coef": to(
        "missing_eos_score",
        lambda value: (
            value
            if value < 0
            else Unavailable("Scores of truncated completions are not multiplied", "Set missing_eos_penalty")
        ),
    ),
    **each(
        Unavailable(
            "There is no penalty that grows with the length",
            "Set missing_eos_penalty, or write a reward function",
            (None, 1, 1.0),
        ),
        "reward.overlong_buffer_len reward.overlong_penalty_factor",
    ),
    "rollout.temperature": to("temperature"),
    "rollout.top_p": to("top_p"),
    **each(
        SPEED,
        """
            rollout.micro_batch_size rollout.vllm_generate_batch_size rollout.max_tokens_per_gpu
            train.max_tokens_per_gpu train.dynamic_batch_enable
        """,
    ),
    "critic.freezing_steps": Joint(("critic_warmup_steps",), "OpenRLHF counts rollouts, this package optimizer steps"),
    "actor.adam.lr": to("learning_rate"),
    "critic.adam.lr": to("critic_learning_rate"),
    "actor.adam.betas": Written(
        ("adam_beta1", "adam_beta2"), lambda value: {"adam_beta1": value[0], "adam_beta2": value[1]}
    ),
    "actor.adam.eps": to("adam_epsilon"),
    "actor.adam.weight_decay": to("weight_decay"),
    "actor.optim": RM["optim"],
    **each(SCHEDULE, "actor.lr_scheduler actor.min_lr_ratio"),
    "actor.lr_warmup_ratio": to("warmup_steps", note="A number below 1 is a share of the steps"),
    "actor.max_norm": to("max_grad_norm", note="Policy and critic are clipped apart"),
    **each(
        CRITIC,
        """
        critic.optim critic.adam.betas critic.adam.eps critic.adam.weight_decay critic.lr_scheduler
        critic.lr_warmup_ratio critic.min_lr_ratio critic.max_norm
        """,
    ),
    **each(
        RM["muon.lr"],
        """
        actor.muon.lr actor.muon.momentum actor.muon.ns_steps actor.muon.nesterov actor.muon.no_nesterov
        critic.muon.lr critic.muon.momentum critic.muon.ns_steps critic.muon.nesterov critic.muon.no_nesterov
        """,
    ),
    **each(
        PLACEMENT,
        """
            ref.num_nodes ref.num_gpus_per_node reward.num_nodes reward.num_gpus_per_node critic.num_nodes
            critic.num_gpus_per_node train.colocate_actor_ref train.colocate_critic_reward train.colocate_all
            ref.offload reward.offload ds.enable_sleep actor_init_on_gpu
        """,
    ),
    "vllm.num_engines": Unavailable(
        "vLLM runs in the training processes or as a server, as in TRL", "Set use_vllm: true", (None, 0)
    ),
    **each(
        VLLM,
        """
            vllm.tensor_parallel_size vllm.sync_backend vllm.sync_with_ray vllm.enable_prefix_caching vllm.enforce_eager
            vllm.enable_sleep vllm.gpu_memory_utilization
        """,
    ),
    **each(
        Unavailable(
            "Rollouts and updates take turns", "Hand the reward model to OpenRLHF: examples/hand_over/openrlhf"
        ),
        "train.async_enable train.partial_rollout_enable",
    ),
    "train.async_queue_size": Unneeded("it belongs to train.async_enable"),
    "train.enable_ema": Unavailable("No average of the weights is kept", "Leave it out"),
    "train.ema_beta": Unneeded("it belongs to train.enable_ema"),
    "train.agent_func_path": Unavailable(
        "A completion has one turn", "Hand the reward model to OpenRLHF: examples/hand_over/openrlhf"
    ),
    "ckpt.best_metric_key": to("metric_for_best_model", lambda name: name or Unneeded("no metric is named")),
    "data.prompt_dataset": RM["data.dataset"],
    "data.prompt_probs": RM["data.dataset_probs"],
    "data.prompt_split": split("dataset_train_split"),
    "data.input_key": Joint(("columns",), "Columns with other names are renamed"),
    "data.label_key": Unavailable(
        "A reward model reads no labels", "Use a reward function in Python, which gets all columns"
    ),
    "eval.temperature": Unavailable("Evaluation has the temperature of the rollouts", "Evaluate the saved policy"),
    "eval.n_samples_per_prompt": to("num_generations_eval"),
    **each(
        Unavailable("All completions are used", "Leave it out: with a critic, a prompt needs no variance of rewards"),
        "algo.dynamic_filtering_enable",
    ),
    "algo.dynamic_filtering_range": Unneeded("it belongs to algo.dynamic_filtering_enable"),
    **each(
        Unavailable(
            "Texts are read, not images", "Train policies that see images with OpenRLHF", (None, 0, "images", False)
        ),
        "data.image_key data.max_images_per_prompt actor.freeze_visual_encoder",
    ),
}


def ppo_decisions(values: Values) -> Iterator[Decision]:
    """Yield what follows from several settings of `train_ppo_ray`.

    Args:
        values: the settings.
    """
    gpus = [values.given.get(name) for name in ("actor.num_nodes", "actor.num_gpus_per_node")]
    processes = int(gpus[0] or 1) * int(gpus[1] or 1)
    placement = tuple(name for name in ("actor.num_nodes", "actor.num_gpus_per_node") if name in values.given)
    micro, batch, samples = (
        int(values[name]) for name in ("train.micro_batch_size", "train.batch_size", "rollout.n_samples_per_prompt")
    )
    rollout = int(values["rollout.batch_size"]) * samples
    per_pass = micro * processes
    on = f"on {processes} process{'es' if processes > 1 else ''}"
    yield Decision("per_device_train_batch_size", micro, ("train.micro_batch_size",))
    yield Decision(
        "gradient_accumulation_steps",
        max(1, batch // per_pass),
        ("train.batch_size", *placement),
        f"{batch} completions a step {on}",
    )
    yield Decision(
        "steps_per_generation",
        max(1, rollout // per_pass),
        ("rollout.batch_size", *placement),
        f"{rollout} completions a rollout {on}",
    )
    yield Decision("num_generations", samples, ("rollout.n_samples_per_prompt",))
    yield Decision("num_iterations", int(values["train.max_epochs"]), ("train.max_epochs",))
    freezing = values.given.get("critic.freezing_steps")
    if freezing is not None and freezing > 0:
        steps = max(1, rollout // batch) * int(values["train.max_epochs"])
        yield Decision(
            "critic_warmup_steps",
            int(freezing) * steps,
            ("critic.freezing_steps",),
            f"{steps} optimizer steps a rollout",
        )
    yield from schedule(values, "actor.")
    yield from _clip_range(values)
    yield _completion_length(values)
    if values["data.input_key"] != "prompt":
        yield Decision("columns", f"prompt={values['data.input_key']}", ("data.input_key",))


def _clip_range(values: Values) -> Iterator[Decision]:
    limits = values.given.get("actor.eps_clip_low_high")
    if limits is None:
        yield Decision("epsilon", values["actor.eps_clip"], ("actor.eps_clip",))
    else:
        yield Decision("epsilon", limits[0], ("actor.eps_clip_low_high",))
        yield Decision("epsilon_high", limits[1], ("actor.eps_clip_low_high",))


def _completion_length(values: Values) -> Decision:
    for name in ("rollout.max_new_tokens", "generate_max_len"):
        if values.given.get(name) is not None:
            limits = ("data.max_len",) if "data.max_len" in values.given else ()
            return Decision("max_completion_length", int(values[name]), (name, *limits))
    return Decision(
        "max_completion_length", int(values["data.max_len"]), ("data.max_len",), "the limit of prompt and completion"
    )


SYSTEMS = (
    System(
        "openrlhf-ppo",
        "OpenRLHF train_ppo_ray",
        "0.8.11, 0.9.10, 0.10.0 and 0.11.2",
        "ppo",
        for_ppo(PPO),
        {
            "actor.adam.lr": 1e-6,
            "critic.adam.lr": 9e-6,
            "actor.adam.betas": [0.9, 0.95],
            "actor.lr_warmup_ratio": 0.03,
            "actor.lr_scheduler": "cosine_with_min_lr",
            "actor.min_lr_ratio": 0.1,
            "train.num_episodes": 1,
            "train.max_epochs": 1,
            "train.batch_size": 128,
            "train.micro_batch_size": 1,
            "rollout.batch_size": 1024,
            "rollout.n_samples_per_prompt": 1,
            "data.max_len": 2048,
            "algo.advantage.lambd": 1,
            "critic.value_clip": 0.5,
            "actor.eps_clip": 0.2,
            "reward.clip_range": [-10, 10],
            "ds.lora.rank": 0,
            "ds.lora.alpha": 16,
            "ds.lora.dropout": 0,
            "ds.lora.target_modules": "all-linear",
            "logger.logging_steps": 1,
            "ckpt.save_steps": -1,
            "ckpt.max_num": 3,
            "actor.gradient_checkpointing_enable": False,
            "ckpt.output_dir": "./ckpt",
            "data.input_key": "input",
        },
        (Constant("score_normalization", "none", "OpenRLHF does not divide scores by their running deviation"),),
        ppo_decisions,
        {old: new for new, old in OLD_PPO_NAMES.items()},
        (
            "The defaults of rlhf-losses ppo are other ones, with normalized scores (docs/ppo.md#defaults).",
            "For many GPUs, keep OpenRLHF for PPO and hand it the reward model: docs/how-to/ppo-elsewhere.md.",
        ),
    ),
)
