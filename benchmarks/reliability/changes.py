"""Changes between a checkpoint and the run that resumes from it: refused, silent, or permitted.

    python -m benchmarks.reliability.changes
    python -m benchmarks.reliability.changes --only seed "data: other order" --trainers reward

A tiny run of each trainer writes a checkpoint. For each change that decides the result, the changed run tries to
resume: right is an error with the name and both values. With the names that the error suggests in `allow_changed`, the
run resumes, or an error says what cannot change. For each change that is permitted, the run resumes, and its result is
compared with that of the run without an interruption.

The table is on the page docs/reliability.md.
"""

import ast
import importlib.util
import logging
import re
import tempfile
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers
from datasets import Dataset
from datasets.utils.logging import disable_progress_bar
from peft import LoraConfig
from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification
from transformers.trainer_callback import PrinterCallback

from benchmarks._lib.study import argument_parser
from rlhf_losses import RewardConfig, RewardTrainer, Scorer
from rlhf_losses.errors import RlhfLossesError
from rlhf_losses.losses import Hinge
from rlhf_losses.ppo import PPOConfig, PPOTrainer
from rlhf_losses.sandbox.tiny_models import build_tokenizer

WORDS = [f"word{number}" for number in range(60)]
STEPS, CHECKPOINT = 4, 2

COMMON = {
    "max_steps": STEPS, "save_strategy": "steps", "save_steps": 1, "per_device_train_batch_size": 4, "logging_steps": 1,
    "learning_rate": 1e-3, "lr_scheduler_type": "constant", "report_to": "none", "disable_tqdm": True, "use_cpu": True,
    "bf16": False, "gradient_checkpointing": False,
}  # fmt: skip
LORA = LoraConfig(r=2, lora_alpha=4, target_modules=["q_proj"])


@dataclass(frozen=True)
class Change:
    """A change of a run.

    Args:
        name: name of the change.
        changed: name that the error has to give, or None for a change that is permitted.
        settings: changed settings.
        arguments: changed arguments of the trainer.
        before: arguments and settings of the run that writes the checkpoint, if it is not the plain one.
        same: whether a permitted change leaves the result as it is.
        shown: texts that the error has to contain, in addition to the values of changed settings.
    """

    name: str
    changed: str | None
    settings: Mapping[str, Any] = field(default_factory=dict)
    arguments: Mapping[str, Any] = field(default_factory=dict)
    before: Mapping[str, Any] = field(default_factory=dict)
    same: bool = True
    shown: tuple[str, ...] = ()


def text(*numbers: int) -> str:
    """Return a text of words."""
    return " ".join(WORDS[number % len(WORDS)] for number in numbers)


def tokenizer(words: tuple[str, ...] = tuple(WORDS), **changes: Any) -> Any:
    """Return the tokenizer of the words."""
    made = build_tokenizer(list(words))
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def pairs(change: str = "") -> Dataset:
    """Return pairs, with a change."""
    rows = [
        {"prompt": text(i, i + 1), "chosen": text(i, 5, 7 * i), "rejected": text(3 * i, i + 2), "margin": 1.0}
        for i in range(12)
    ]
    if change == "word":
        rows[7]["chosen"] += f" {WORDS[0]}"
    if change == "label":
        rows[3]["chosen"], rows[3]["rejected"] = rows[3]["rejected"], rows[3]["chosen"]
    if change == "margin":
        rows[3]["margin"] = 0.5
    made = Dataset.from_list(rows[:-1] if change == "fewer" else rows)
    return made.shuffle(seed=1) if change == "order" else made


def llama(kind: Any = LlamaForSequenceClassification, seed: int = 0, one_weight: bool = False, **changes: Any) -> Any:
    """Return a tiny Llama."""
    config = LlamaConfig(
        vocab_size=len(tokenizer()), hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_labels=1, pad_token_id=0, bos_token_id=1, eos_token_id=2, max_position_embeddings=64, **changes,
    )  # fmt: skip
    torch.manual_seed(seed)
    model = kind(config)
    if one_weight:
        with torch.no_grad():
            model.model.layers[0].mlp.up_proj.weight[3, 5] += 1e-3
    return model


def plugin_loss(source: str) -> Any:
    """Return a loss of a plugin file whose code contains a number."""
    folder = Path(tempfile.mkdtemp())
    file = folder / "plugin.py"
    file.write_text(
        textwrap.dedent(f"""
        from rlhf_losses.losses import Hinge

        class Focal(Hinge):
            '''A loss of a plugin.'''
            def per_item_loss(self, scores, feedback, parameters={{}}):
                return {source} * super().per_item_loss(scores, feedback, parameters)
        """),
        encoding="utf-8",
    )
    spec = importlib.util.spec_from_file_location(f"plugin_{folder.name}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Focal()


def setting_change(name: str, value: Any, **others: Any) -> Change:
    """Return a change of one setting that decides the result."""
    return Change(name, name, {name: value, **others})


REWARD_REFUSED = [
    Change("loss", "loss", arguments={"loss": "hinge"}, shown=("'bradley_terry'", "'hinge'")),
    Change("loss: option", "loss", arguments={"loss": Hinge(margin=2.0)}, before={"arguments": {"loss": Hinge()}}),
    Change("loss: weight of a term", "loss", arguments={"loss": "bradley_terry + 0.1 * centering"}),
    Change("loss: center_rewards_coefficient", "loss", {"center_rewards_coefficient": 0.1}),
    Change(
        "loss: code of a plugin",
        "loss_code",
        arguments={"loss": lambda: plugin_loss("2.0")},
        before={"arguments": {"loss": lambda: plugin_loss("1.0")}},
    ),
    *(
        Change(f"data: {name}", "train_dataset", arguments={"train_dataset": lambda change=change: pairs(change)})
        for name, change in [
            ("one word", "word"),
            ("one label", "label"),
            ("a margin", "margin"),
            ("a row fewer", "fewer"),
            ("other order", "order"),
        ]
    ),
    Change(
        "data: first rows of a stream",
        "train_dataset",
        arguments={"train_dataset": lambda: pairs("word").to_iterable_dataset()},
        before={"arguments": {"train_dataset": lambda: pairs().to_iterable_dataset()}},
    ),
    Change(
        "data: evaluation for the best model",
        "eval_dataset",
        {"load_best_model_at_end": True, "eval_strategy": "steps", "eval_steps": 1},
        {"eval_dataset": lambda: pairs("label")},
        before={
            "settings": {"load_best_model_at_end": True, "eval_strategy": "steps", "eval_steps": 1},
            "arguments": {"eval_dataset": lambda: pairs()},
        },
    ),
    Change(
        "tokenizer: vocabulary",
        "tokenizer",
        arguments={"processing_class": lambda: tokenizer((*WORDS[1:], WORDS[0]))},
    ),
    Change(
        "tokenizer: chat template",
        "chat_template",
        arguments={
            "processing_class": lambda: tokenizer(
                chat_template="{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}"
            )
        },
    ),
    Change("tokenizer: eos_token", "tokenizer", {"eos_token": "<unk>"}),
    Change("base: other weights", "model", arguments={"model": lambda: llama(seed=1)}),
    Change("base: one weight", "model", arguments={"model": lambda: llama(one_weight=True)}),
    Change("base: dtype", "model", arguments={"model": lambda: llama().to(torch.bfloat16)}),
    Change("base: dropout", "model_config", arguments={"model": lambda: llama(attention_dropout=0.1)}),
    *(
        Change(
            f"adapters: {name}",
            f"peft_config.{name}",
            arguments={"peft_config": LoraConfig(**{"r": 2, "lora_alpha": 4, "target_modules": ["q_proj"], name: new})},
            before={"arguments": {"peft_config": LORA}},
        )
        for name, new in [("r", 4), ("lora_alpha", 8), ("lora_dropout", 0.1), ("target_modules", ["k_proj"])]
    ),
    *(
        setting_change(name, value)
        for name, value in {
            "learning_rate": 3e-3,
            "lr_scheduler_type": "cosine",
            "warmup_steps": 2,
            "optim": "adafactor",
            "weight_decay": 0.1,
            "adam_beta1": 0.8,
            "adam_beta2": 0.9,
            "adam_epsilon": 1e-6,
            "max_grad_norm": 0.5,
            "seed": 1,
            "data_seed": 1,
            "max_length": 32,
            "overlong": "error",
            "step_separator": " ",
            "average_over": "prompts",
            "neftune_noise_alpha": 5.0,
            "label_smoothing_factor": 0.1,
            "bf16": True,
            "disable_dropout": False,
            "dataloader_drop_last": True,
            "loss_parameters_learning_rate": 0.1,
            "train_sampling_strategy": "sequential",
            "max_steps": 3,
        }.items()
    ),
    Change("batch size", "global_batch_size", {"per_device_train_batch_size": 2}, shown=("4 in", "2 now")),
    Change("accumulation", "global_batch_size", {"gradient_accumulation_steps": 2}, shown=("4 in", "8 now")),
]

REWARD_PERMITTED = [
    Change("global batch in two parts", None, {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2}),
    Change("layout", None, {"layout": "padded"}),
    Change("size of a forward pass", None, {"max_tokens_per_forward": 16}),
    Change("logging", None, {"logging_steps": 3, "run_name": "again"}),
    Change("intervals of checkpoints", None, {"save_steps": 2, "save_total_limit": 1}),
    Change("intervals of evaluation", None, {"eval_strategy": "steps", "eval_steps": 1},
           {"eval_dataset": lambda: pairs("label")}),
    Change("workers of the data loader", None, {"dataloader_num_workers": 1}),
    Change("gradient checkpointing", None, {"gradient_checkpointing": True}),
    Change("a column that is not used", None, arguments={"train_dataset": lambda: pairs().add_column("id", [1] * 12)}),
    Change("the same rows from a file", None, arguments={"train_dataset": lambda: from_file(pairs())}),
    Change("longer max_steps", None, {"max_steps": 6}),
    Change("longer max_steps with a linear schedule", None, {"max_steps": 6, "lr_scheduler_type": "linear"},
           before={"settings": {"lr_scheduler_type": "linear"}}, same=False),
]  # fmt: skip


def from_file(rows: Dataset) -> Dataset:
    """Return rows after they were written to a file and read again."""
    file = Path(tempfile.mkdtemp()) / "rows.jsonl"
    rows.to_json(file)
    return Dataset.from_json(str(file), cache_dir=str(file.parent))


def prompts(change: str = "") -> Dataset:
    """Return prompts, with a change."""
    made = Dataset.from_dict({"prompt": [text(i, i + 1) for i in range(16 if change != "other" else 15)]})
    return made.shuffle(seed=1) if change == "order" else made


def length_reward(completion_ids: Any, **_: Any) -> list[float]:
    """Score a completion by its first token."""
    return [ids[0] / 64 for ids in completion_ids]


def other_reward(completion_ids: Any, **_: Any) -> list[float]:
    """Score a completion by its last token."""
    return [ids[-1] / 64 for ids in completion_ids]


def scorer(seed: int) -> Scorer:
    """Return a reward model."""
    return Scorer(llama(seed=seed), tokenizer())


PPO_REFUSED = [
    Change("prompts", "train_dataset", arguments={"train_dataset": lambda: prompts("other")}),
    Change("prompts: order", "train_dataset", arguments={"train_dataset": lambda: prompts("order")}),
    Change("base: other weights", "model", arguments={"model": "other"}),
    Change("adapters: lora_alpha", "peft_config.lora_alpha", arguments={
        "peft_config": LoraConfig(r=2, lora_alpha=8, target_modules=["q_proj"])},
        before={"arguments": {"peft_config": LORA}}),
    Change("reward function: code", "reward_funcs", arguments={"reward_funcs": other_reward}),
    Change("reward model: weights", "reward_funcs", arguments={"reward_funcs": lambda: scorer(2)},
           before={"arguments": {"reward_funcs": lambda: scorer(1)}}),
    Change("critic", "critic", arguments={"critic": lambda: llama(seed=2)},
           before={"arguments": {"critic": lambda: llama(seed=1)}}),
    Change("reward weights", "reward_weights", {"reward_weights": [0.5]},
           before={"settings": {"reward_weights": [1.0]}}),
    Change("PPO epochs", "num_iterations", {"num_iterations": 1}),
    Change("pretraining texts", "pretraining_dataset", {"ptx_coef": 0.1},
           {"pretraining_dataset": lambda: Dataset.from_dict({"text": [text(1, 2, 3)] * 4})},
           before={"settings": {"ptx_coef": 0.1}, "arguments": {
               "pretraining_dataset": lambda: Dataset.from_dict({"text": [text(1, 2, 4)] * 4})}}),
    *(
        setting_change(name, value)
        for name, value in {
            "beta": 0.1, "gamma": 0.9, "lam": 0.9, "learning_rate": 3e-3, "critic_learning_rate": 1e-3,
            "temperature": 0.7, "top_p": 0.9, "max_completion_length": 6, "vf_coef": 0.5, "cliprange_value": 0.1,
            "epsilon": 0.1, "kl_estimator": "k3", "kl_target": 1.0, "score_normalization": "running",
            "score_clip": 1.0, "missing_eos_penalty": 1.0, "whiten_rewards": True, "whiten_advantages": False,
            "critic_warmup_steps": 1, "seed": 1, "adam_epsilon": 1e-6, "loss_type": "grpo",
        }.items()
    ),
]  # fmt: skip

PPO_PERMITTED = [
    Change("logging", None, {"logging_steps": 2, "log_phase_times": True, "sanity_check": True}),
    Change("intervals of checkpoints", None, {"save_steps": 2}),
    Change("layout", None, {"layout": "padded"}),
    Change("longer max_steps", None, {"max_steps": 6}),
]


class Trainers:
    """Trainers of one kind, and the checkpoint of each run that writes one."""

    def __init__(self, kind: str) -> None:
        self.kind, self.folder = kind, Path(tempfile.mkdtemp())
        self.finished: dict[str, tuple[Path, Any]] = {}
        for seed, name in enumerate(("policy", "other")):
            llama(LlamaForCausalLM, seed).save_pretrained(self.folder / name)
            tokenizer().save_pretrained(self.folder / name)

    def make(self, output: Path, settings: Mapping[str, Any], arguments: Mapping[str, Any], **more: Any) -> Any:
        """Return a trainer."""
        given = {name: value() if is_factory(value) else value for name, value in arguments.items()}
        if self.kind == "reward":
            args = RewardConfig(str(output), **COMMON | dict(settings) | more)
            plain = {"model": llama(), "train_dataset": pairs(), "processing_class": tokenizer()}
            plain["loss"] = "bradley_terry"
            trainer = RewardTrainer(args=args, **plain | given)
        else:
            small = {"max_completion_length": 4, "num_iterations": 2, "sanity_check": False}
            given["model"] = str(self.folder / given.get("model", "policy"))
            torch.manual_seed(0)
            args = PPOConfig(str(output), **COMMON | small | dict(settings) | more)
            plain = {"reward_funcs": length_reward, "train_dataset": prompts()}
            trainer = PPOTrainer(args=args, **plain | given)
        trainer.remove_callback(PrinterCallback)
        return trainer

    def checkpoint(self, before: Mapping[str, Any], steps: int = STEPS) -> tuple[Path, Any]:
        """Return the checkpoint of a run, which is trained once, and the run."""
        key = f"{before!r} {steps}"
        if key not in self.finished:
            output = self.folder / f"run-{len(self.finished)}"
            settings = {**before.get("settings", {}), "max_steps": steps}
            trainer = self.make(output, settings, before.get("arguments", {}))
            trainer.train()
            self.finished[key] = (output / f"checkpoint-{CHECKPOINT}", trainer)
        return self.finished[key]

    def resumed(self, change: Change, **more: Any) -> Any:
        """Return a changed trainer that has resumed."""
        checkpoint, _ = self.checkpoint(change.before)
        settings = {**change.before.get("settings", {}), **change.settings, **more}
        arguments = {**change.before.get("arguments", {}), **change.arguments}
        trainer = self.make(Path(tempfile.mkdtemp()), settings, arguments)
        trainer.train(resume_from_checkpoint=str(checkpoint))
        return trainer

    def allowed(self, change: Change) -> str:
        """Return what a changed run does with the names that its refusal suggests."""
        try:
            self.resumed(change)
        except RlhfLossesError as error:
            suggested = re.search(r"allow_changed=(\[.*\])", str(error))
            if suggested is None:
                return "cannot be allowed"
            names = ast.literal_eval(suggested[1])
        try:
            self.resumed(change, allow_changed=names)
        except Exception as error:
            return f"fails: {type(error).__name__}: {error}"
        return "resumes"

    def outcome(self, change: Change) -> str:
        """Return what a changed run does when it resumes."""
        try:
            trainer = self.resumed(change)
        except RlhfLossesError as error:
            return "refused" if shows(str(error), change) else f"another error: {error}"
        except Exception as error:
            return f"traceback: {type(error).__name__}: {error}"
        if change.changed is not None:
            return "silent"
        steps = change.settings.get("max_steps", STEPS)
        _, unbroken = self.checkpoint(change.before, steps)
        return "works" if not change.same or same_weights(trainer, unbroken) else "another result"


def is_factory(value: Any) -> bool:
    """Return whether an argument is made for each run."""
    return callable(value) and getattr(value, "__name__", "") == "<lambda>"


def shows(message: str, change: Change) -> bool:
    """Return whether a message has the name and both values."""
    values = [repr(value) for name, value in change.settings.items() if name == change.changed]
    both = re.search(rf"{re.escape(str(change.changed))}[\w.]*: (.+?) in the checkpoint, (.+?) now", message)
    return both is not None and both[1] != both[2] and all(one in message for one in (*values, *change.shown))


def same_weights(ours: Any, theirs: Any) -> bool:
    """Return whether two trained models are equal up to rounding."""
    pairs_of_weights = zip(ours.model.parameters(), theirs.model.parameters(), strict=True)
    return all(torch.allclose(one, other, rtol=1e-3, atol=1e-5) for one, other in pairs_of_weights)


CASES: Mapping[str, tuple[list[Change], list[Change]]] = {
    "reward": (REWARD_REFUSED, REWARD_PERMITTED),
    "ppo": (PPO_REFUSED, PPO_PERMITTED),
}


def run(kinds: list[str], only: list[str], report: Callable[[str], None]) -> dict[str, list[str]]:
    """Return the outcomes of changes that decide the result, without and with permission, and of permitted ones."""
    outcomes: dict[str, list[str]] = {"refused": [], "allowed": [], "permitted": []}
    for kind in kinds:
        trainers = Trainers(kind)
        for group, changes in zip(("refused", "permitted"), CASES[kind], strict=True):
            for change in changes:
                if only and change.name not in only:
                    continue
                outcomes[group].append(trainers.outcome(change))
                line = f"{kind}: {change.name}: {outcomes[group][-1]}"
                if outcomes[group][-1] == "refused":
                    outcomes["allowed"].append(trainers.allowed(change))
                    line += f"; allowed: {outcomes['allowed'][-1]}"
                report(line)
    return outcomes


def main(arguments: list[str] | None = None) -> None:
    """Print the outcome of each change, and how many are right."""
    parser = argument_parser(__doc__)
    parser.add_argument("--trainers", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--only", nargs="+", default=[], help="names of changes; all by default")
    args = parser.parse_args(arguments)
    disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    logging.disable(logging.WARNING)
    outcomes = run(args.trainers, args.only, print)
    logging.disable(logging.NOTSET)
    refused, allowed, permitted = outcomes.values()
    print(f"{refused.count('refused')} of {len(refused)} changes are refused with both values")
    print(f"{refused.count('silent')} of {len(refused)} changes are silent")
    fixed = allowed.count("cannot be allowed")
    print(f"{allowed.count('resumes')} of {len(allowed)} resume if they are allowed, {fixed} cannot be allowed")
    print(f"{permitted.count('works')} of {len(permitted)} permitted changes work")


if __name__ == "__main__":
    main()
