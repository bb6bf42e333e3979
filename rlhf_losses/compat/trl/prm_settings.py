"""The settings of TRL's `PRMConfig`, and what they are in `rlhf_losses.RewardConfig`."""

from rlhf_losses.compat.trl.translated_setting import Kind, TranslatedSetting

PRM_SETTINGS = (
    TranslatedSetting("learning_rate", Kind.SAME, ("learning_rate",), default=1e-5),
    TranslatedSetting(
        "max_length", Kind.SAME, ("max_length",),
        "Steps that do not fit are cut; a row whose prompt and first step do not fit is dropped, with a report.", 1024,
    ),
    TranslatedSetting("disable_dropout", Kind.SAME, ("disable_dropout",), default=True),
    TranslatedSetting(
        "step_separator", Kind.SAME, ("step_separator",),
        "Between two steps that have no white space at the boundary. TRL adds it after every step.", "\n",
    ),
    TranslatedSetting("dataset_num_proc", Kind.SAME, ("dataset_num_proc",)),
    TranslatedSetting("max_completion_length", Kind.TRAINER, (), "Steps beyond this number of tokens are cut."),
    TranslatedSetting(
        "train_on_last_step_only", Kind.TRAINER, (), "The other labels become null in the training data.", False
    ),
    TranslatedSetting(
        "max_prompt_length", Kind.REFUSED, (),
        "Prompts are cut only where a row exceeds max_length. Set overlong='truncate_prompt' and max_length.",
    ),
)  # fmt: skip
"""All settings of TRL's `PRMConfig`; the loss is `step_cross_entropy`."""
