"""OpenRLHF's `train_rm`, with the dotted names of 0.11 and the names of earlier versions."""

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
)
from rlhf_losses.migrate.systems.openrlhf_names import OLD_RM_NAMES
from rlhf_losses.migrate.systems.openrlhf_shared import SCHEDULE, SHARED, schedule
from rlhf_losses.migrate.systems.training_arguments import split


def _datasets(value: str) -> Any:
    """Return one dataset, or a mixture; `NAME@FOLDER` is a notation of OpenRLHF alone."""
    if "@" in value:
        return Unavailable("NAME@FOLDER is a notation of OpenRLHF", "Set dataset_name to the folder or the file")
    names = value.split(",")
    return {"dataset_name": value} if len(names) == 1 else {"datasets": [{"path": name} for name in names]}


BATCH = Joint(
    ("per_device_train_batch_size", "gradient_accumulation_steps"),
    "The batch of OpenRLHF is that of all processes; without a number of processes in the script it is that of one",
)

RM: Mapping[str, Rule] = {
    **SHARED,
    "model.model_name_or_path": to("model_name_or_path"),
    "model.gradient_checkpointing_enable": to("gradient_checkpointing"),
    "model.gradient_checkpointing_reentrant": to(
        "gradient_checkpointing_kwargs", lambda value: {"use_reentrant": value}
    ),
    "model.loss_type": to("loss", lambda value: "bradley_terry", "sigmoid and logexp are the same function"),
    "model.margin_loss_enable": Unavailable(
        "bradley_terry subtracts the margin of a row in any case",
        "Remove the column margin where it must not count",
        (True,),
    ),
    "model.aux_loss_coef": Unavailable("Reward models have no loss that balances experts", "Leave it out", (0, 0.0)),
    "model.compute_fp32_loss_enable": Unneeded("scores and losses are float32"),
    "train.max_epochs": to("num_train_epochs"),
    **each(BATCH, "train.micro_batch_size train.batch_size"),
    "optim": choice(
        "optim",
        {"adam": "adamw_torch_fused"},
        Unavailable("This optimizer is not one of transformers", "Set optim, for example adafactor"),
    ),
    **each(
        Unneeded("it belongs to the optimizer Muon"),
        "muon.lr muon.momentum muon.ns_steps muon.nesterov muon.no_nesterov",
    ),
    "adam.lr": to("learning_rate"),
    "adam.betas": Written(("adam_beta1", "adam_beta2"), lambda value: {"adam_beta1": value[0], "adam_beta2": value[1]}),
    "adam.eps": to("adam_epsilon"),
    "adam.weight_decay": to("weight_decay"),
    **each(SCHEDULE, "lr_scheduler min_lr_ratio"),
    "lr_warmup_ratio": to("warmup_steps", note="A number below 1 is a share of the steps"),
    "max_norm": to("max_grad_norm"),
    "data.dataset": Written(("dataset_name", "datasets"), _datasets),
    "data.dataset_probs": Unavailable("A mixture of datasets has all rows of each", "Repeat or drop rows of the data"),
    "data.dataset_split": split("dataset_train_split"),
    **each(
        Joint(("columns",), "Columns with other names are renamed"), "data.prompt_key data.chosen_key data.rejected_key"
    ),
    "data.tokenizer_chat_template": Unavailable(
        "The text of a template is not an argument", "Write it to a file, and set chat_template_path to it"
    ),
    "data.max_len": to("max_length", note="Longer rows are dropped, and counted; OpenRLHF truncates them"),
}


def rm_decisions(values: Values) -> Iterator[Decision]:
    """Yield what follows from several settings of `train_rm`.

    Args:
        values: the settings.
    """
    micro, batch = int(values["train.micro_batch_size"]), int(values["train.batch_size"])
    processes = values.processes or 1
    yield Decision("per_device_train_batch_size", micro, ("train.micro_batch_size",))
    yield Decision(
        "gradient_accumulation_steps",
        max(1, batch // (micro * processes)),
        values.sources("train.batch_size", "train.micro_batch_size"),
        f"{batch} pairs a step on {processes} process{'es' if processes > 1 else ''}",
    )
    yield from schedule(values)
    keys = {"prompt": "data.prompt_key", "chosen": "data.chosen_key", "rejected": "data.rejected_key"}
    renamed = {name: values.given[key] for name, key in keys.items() if values.given.get(key) not in (None, name)}
    if renamed:
        sources = tuple(keys[name] for name in renamed)
        yield Decision("columns", ",".join(f"{name}={old}" for name, old in renamed.items()), sources)


SYSTEMS = (
    System(
        "openrlhf-rm",
        "OpenRLHF train_rm",
        "0.8.11, 0.9.10, 0.10.0 and 0.11.2",
        "train",
        RM,
        {
            "adam.lr": 9e-6,
            "adam.betas": [0.9, 0.95],
            "lr_warmup_ratio": 0.03,
            "lr_scheduler": "cosine_with_min_lr",
            "min_lr_ratio": 0.1,
            "train.max_epochs": 1,
            "train.batch_size": 128,
            "train.micro_batch_size": 1,
            "data.max_len": 512,
            "ds.lora.rank": 0,
            "ds.lora.alpha": 16,
            "ds.lora.dropout": 0,
            "ds.lora.target_modules": "all-linear",
            "logger.logging_steps": 1,
            "ckpt.save_steps": -1,
            "ckpt.max_num": 3,
            "model.gradient_checkpointing_enable": False,
            "ckpt.output_dir": "./ckpt",
        },
        (Constant("loss", "bradley_terry", "OpenRLHF's losses are this function"),),
        rm_decisions,
        {old: new for new, old in OLD_RM_NAMES.items()},
    ),
)
