"""Bad input is refused before the model is loaded, with the received value, the reason and a remedy."""

import logging

import pytest
from datasets import Dataset
from peft import LoraConfig
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    LlamaForSequenceClassification,
    T5Config,
    T5EncoderModel,
    T5ForSequenceClassification,
)

from rlhf_losses import (
    BradleyTerry,
    FeedbackMismatchError,
    InvalidFeedbackError,
    InvalidLossError,
    RewardConfig,
    RewardTrainer,
    Scorer,
    UnknownNameError,
    UnsupportedModelError,
    centering,
)
from rlhf_losses.training.step_loss import StepLoss

NOWHERE = "no/such-model"
"""A model that cannot be loaded: errors of the data are raised first."""


def refuse(data, loss, settings, model=NOWHERE, **changes):
    return RewardTrainer(model, RewardConfig(**settings(**changes)), train_dataset=data, loss=loss)


def rows(**columns) -> Dataset:
    return Dataset.from_dict(columns)


GOOD_PAIR = {"prompt": ["Q "], "chosen": ["yes"], "rejected": ["no"]}


def test_an_unknown_loss_is_named_with_the_nearest_one(pairs, settings):
    with pytest.raises(UnknownNameError, match=r"bradly_terry.*Did you mean 'bradley_terry'.*rlhf-losses list"):
        refuse(pairs, "bradly_terry", settings)


def test_columns_without_the_needed_feedback_are_named_with_losses_that_fit(pairs, settings):
    with pytest.raises(FeedbackMismatchError, match=r"needs Steps.*chosen.*hold Pairs.*bradley_terry"):
        refuse(pairs, "segment_hinge", settings)


def test_columns_without_feedback_are_named_with_the_known_columns(settings):
    with pytest.raises(FeedbackMismatchError, match=r"question, answer.*no known feedback.*chosen \+ rejected"):
        refuse(rows(question=["a"], answer=["b"]), "bradley_terry", settings)


def test_rows_of_nulls_alone_are_refused(settings, language_model):
    data = rows(prompt=["Q ", "Q "], chosen=[None, None], rejected=[None, None])
    with pytest.raises(InvalidFeedbackError, match=r"No row of train data.*Pairs is null.*Complete"):
        refuse(data, "bradley_terry", settings, language_model)


def test_a_prompt_may_be_a_number(settings, language_model):
    data = rows(prompt=[7, 0], chosen=["yes", "yes"], rejected=["no", "no"])
    trainer = refuse(data, "bradley_terry", settings, language_model)
    ids = [row["text_ids"][0] for row in trainer.train_dataset]
    texts = trainer.processing_class.batch_decode(ids, skip_special_tokens=True)
    assert [text.replace(" ", "")[0] for text in texts] == ["7", "0"]


def test_a_text_without_tokens_is_named_with_its_row(settings):
    data = rows(chosen_ids=[[5, 6], [5, 6]], rejected_ids=[[5], []])
    with pytest.raises(InvalidFeedbackError, match=r"1.*rejected_ids.*\[\], a text without tokens.*EOS"):
        refuse(data, "bradley_terry", settings)


def test_a_loss_of_any_feedback_is_not_named_where_there_is_none(settings):
    with pytest.raises(
        FeedbackMismatchError, match=r"^This dataset has the columns question, answer, which hold no known feed"
    ):
        refuse(rows(question=["a"], answer=["b"]), "score_decay", settings)


def test_every_term_needs_its_feedback(pairs, settings):
    with pytest.raises(FeedbackMismatchError, match="segment_rating needs Steps"):
        refuse(pairs, "bradley_terry + segment_rating", settings)


ANSWERS = {"prompt": ["Q "], "completion": ["yes"]}


@pytest.mark.parametrize(
    ("loss", "data", "advice"),
    [
        ("centering", GOOD_PAIR, "in Pairs.*'bradley_terry \\+ centering'"),
        ("score_decay", ANSWERS | {"rating": [1.0]}, "in Ratings.*'squared_error \\+ score_decay'"),
        ("length_decorrelation", ANSWERS | {"label": [True]}, "in Labels.*'cross_entropy \\+ length_decorrelation'"),
        ("0 * bradley_terry", GOOD_PAIR, "a weight above 0: 'bradley_terry'"),
        ("0 * hinge + centering", GOOD_PAIR, "a weight above 0: 'bradley_terry \\+ centering'"),
        ("0.1 * centering + score_decay", GOOD_PAIR, "'bradley_terry \\+ 0.1 \\* centering \\+ score_decay'"),
    ],
)
def test_a_loss_of_regularizers_is_refused_with_an_alternative(settings, loss, data, advice):
    with pytest.raises(FeedbackMismatchError, match=f"does not depend on the labels.*{advice}"):
        refuse(rows(**data), loss, settings)


def test_an_empty_dataset_is_refused(settings):
    with pytest.raises(InvalidFeedbackError, match="empty"):
        refuse(rows(prompt=[], chosen=[], rejected=[]), "bradley_terry", settings)


def test_labels_outside_the_domain_are_refused_with_a_loss_that_accepts_them(settings):
    data = rows(prompt=["Q "] * 2, completion=["a", "b"], label=[0.5, 1.0])
    with pytest.raises(InvalidFeedbackError, match=r"'label'.*0\.5.*pointwise_hinge.*binary.*squared_error"):
        refuse(data, "pointwise_hinge", settings)


def test_neutral_labels_are_refused(settings):
    data = rows(prompt=["Q "], completions=[["a ", "b ", "c"]], labels=[[-1, 0, 1]])
    with pytest.raises(InvalidFeedbackError, match="both -1 and 0"):
        refuse(data, "segment_hinge", settings)


def test_a_rating_of_nan_is_named_with_its_row(settings):
    data = rows(prompt=["Q "] * 3, completion=["a", "b", "c"], rating=[1.0, float("nan"), 2.0])
    with pytest.raises(InvalidFeedbackError, match=r"Row 1 of train data.*nan"):
        refuse(data, "squared_error", settings)


def test_an_empty_text_is_named_with_its_row(settings):
    data = rows(chosen=["good", " "], rejected=["bad", "bad"])
    with pytest.raises(InvalidFeedbackError, match=r"Row 1 of train data.*empty"):
        refuse(data, "bradley_terry", settings)


def test_an_empty_step_is_named_with_its_row(settings):
    data = rows(prompt=["Q "], completions=[["a. ", "", "c."]], labels=[[1, 0, 1]])
    with pytest.raises(InvalidFeedbackError, match=r"Row 0 of train data: A step is empty"):
        refuse(data, "segment_hinge", settings)


def test_an_empty_answer_to_a_prompt_is_kept_and_reported(language_model, settings, caplog):
    data = rows(prompt=["Q "] * 4, chosen=["yes"] * 4, rejected=["no", "", "no", "no"])
    with caplog.at_level(logging.WARNING, "rlhf_losses"):
        trainer = refuse(data, "bradley_terry", settings, model=language_model)
    assert len(trainer.train_dataset) == 4
    assert "1 of 4 rows has an empty answer: row 1." in caplog.text


@pytest.mark.parametrize(
    ("loss", "found"),
    [
        (BradleyTerry, r"class BradleyTerry.*BradleyTerry\(\)"),
        (lambda scores, feedback: scores.mean(), r"function.*subclass of Loss"),
        (3.0, r"has the type float.*'bradley_terry'"),
    ],
    ids=["class", "function", "number"],
)
def test_a_loss_argument_that_is_no_loss_is_refused(pairs, settings, loss, found):
    with pytest.raises(InvalidLossError, match=found):
        refuse(pairs, loss, settings)


def test_centering_twice_is_refused(pairs, settings):
    with pytest.raises(InvalidLossError, match="both center"):
        refuse(pairs, 0.1 * centering, settings, center_rewards_coefficient=0.1)


def test_several_labels_are_refused(language_model, tokenizer, pairs, settings, tmp_path):
    config = AutoConfig.from_pretrained(language_model, num_labels=3)
    model = AutoModelForSequenceClassification.from_config(config)
    with pytest.raises(UnsupportedModelError, match=r"num_labels=3.*num_labels=1"):
        refuse(pairs, None, settings, model=model)

    model.save_pretrained(tmp_path / "three")
    tokenizer.save_pretrained(tmp_path / "three")
    with pytest.raises(UnsupportedModelError, match=r"num_labels=3.*num_labels=1"):
        refuse(pairs, None, settings, model=str(tmp_path / "three"))


@pytest.mark.upstream
def test_a_classifier_of_several_labels_gets_a_new_head_on_request(
    language_model, tokenizer, pairs, settings, tmp_path
):
    config = AutoConfig.from_pretrained(language_model, num_labels=3)
    AutoModelForSequenceClassification.from_config(config).save_pretrained(tmp_path / "three")
    tokenizer.save_pretrained(tmp_path / "three")
    changes = {"model_init_kwargs": {"ignore_mismatched_sizes": True}, "save_strategy": "steps", "save_steps": 3}
    args = RewardConfig(**settings(**changes))
    trainer = RewardTrainer(str(tmp_path / "three"), args, train_dataset=pairs, peft_config=LoraConfig(r=4))
    trainer.train()
    saved_merged, adapter = (
        Scorer.from_pretrained(f) for f in (trainer.save_merged(), tmp_path / "run" / "checkpoint-3")
    )
    assert saved_merged(["Q "], ["yes"]) == pytest.approx(adapter(["Q "], ["yes"]), abs=1e-5)


def test_an_encoder_decoder_model_is_refused_before_tokenization(tokenizer, pairs, settings, tmp_path):
    shape = {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2, "num_labels": 1}
    for model_class in (T5ForSequenceClassification, T5EncoderModel):
        folder = tmp_path / model_class.__name__
        model_class(T5Config(vocab_size=len(tokenizer), **shape)).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        message = rf"'{folder}' has the model type t5, an encoder with a decoder.*Use a decoder.*BERT"
        with pytest.raises(UnsupportedModelError, match=message):
            refuse(pairs, None, settings, model=str(folder))
        with pytest.raises(UnsupportedModelError, match=message):
            Scorer.from_pretrained(folder)


@pytest.mark.parametrize(("token", "found"), [(None, "no pad token"), ("<eos>", "pad = eos")])
def test_padding_that_hides_the_end_is_replaced_with_a_warning_or_by_pad_token(
    language_model, pairs, settings, other_tokenizer, token, found, caplog
):
    other_tokenizer.pad_token = token
    trainer = RewardTrainer(language_model, RewardConfig(**settings()), pairs, processing_class=other_tokenizer)
    assert f"{found}" in caplog.text
    assert "pad_token=" in caplog.text
    assert trainer.processing_class.pad_token == "<pad>"
    assert trainer.model.config.pad_token_id == other_tokenizer.convert_tokens_to_ids("<pad>")

    other_tokenizer.pad_token = token
    trainer = RewardTrainer(
        language_model, RewardConfig(**settings(pad_token="<unk>")), pairs, processing_class=other_tokenizer
    )
    assert trainer.processing_class.pad_token == "<unk>"
    assert trainer.model.config.pad_token_id == other_tokenizer.convert_tokens_to_ids("<unk>")


def test_conversations_without_a_chat_template_are_refused(language_model, settings, other_tokenizer):
    other_tokenizer.chat_template = None
    talk = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    with pytest.raises(UnsupportedModelError, match=r"no chat template.*Set tokenizer\.chat_template"):
        RewardTrainer(
            language_model,
            RewardConfig(**settings()),
            rows(chosen=[talk], rejected=[talk]),
            processing_class=other_tokenizer,
        )


def long_and_short() -> Dataset:
    return rows(prompt=["x" * 400, "x"], chosen=["yes", "yes"], rejected=["no", "no"])


def test_rows_longer_than_the_context_are_dropped_and_reported(language_model, settings, caplog):
    with caplog.at_level(logging.WARNING, "rlhf_losses"):
        trainer = refuse(long_and_short(), "bradley_terry", settings, model=language_model)
    assert len(trainer.train_dataset) == 1
    assert "1 of 2 rows have a text longer than 256 tokens (the model's context)" in caplog.text


def test_max_length_is_the_limit_where_it_is_shorter(language_model, settings, caplog):
    with caplog.at_level(logging.WARNING, "rlhf_losses"):
        refuse(long_and_short(), "bradley_terry", settings, model=language_model, max_length=64)
    assert "longer than 64 tokens (max_length)" in caplog.text


def test_prompts_are_truncated_from_the_left_on_request(language_model, settings, tokenizer):
    trainer = refuse(long_and_short(), "bradley_terry", settings, model=language_model, overlong="truncate_prompt")
    assert len(trainer.train_dataset) == 2
    chosen, rejected = trainer.train_dataset[0]["text_ids"]
    assert len(chosen) == 256
    assert tokenizer.decode(chosen).startswith("<bos>xxx")
    assert tokenizer.decode(chosen).endswith("yes<eos>")
    # Both answers of a pair have the same prompt.
    assert tokenizer.decode(chosen).count("x") == tokenizer.decode(rejected).count("x")


def test_overlong_rows_can_be_an_error(language_model, settings):
    with pytest.raises(InvalidFeedbackError, match=r"1 of 2 rows.*overlong='drop'"):
        refuse(long_and_short(), "bradley_terry", settings, model=language_model, overlong="error")


def test_a_dataset_without_rows_that_fit_is_an_error(language_model, settings):
    data = rows(prompt=["x" * 400], chosen=["yes"], rejected=["no"])
    with pytest.raises(InvalidFeedbackError, match=r"No row of train data is left.*truncate_prompt"):
        refuse(data, "bradley_terry", settings, model=language_model)


def test_steps_are_refused_for_a_model_with_one_score_per_text(tokenizer, settings):
    from transformers import BertConfig, BertForSequenceClassification

    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        num_labels=1,
        pad_token_id=0,
    )
    data = rows(prompt=["Q "] * 4, completions=[["a. ", "b."]] * 4, labels=[[1, 0]] * 4)
    with pytest.raises(
        UnsupportedModelError, match=r"'segment_hinge' needs Steps.*one score per text.*Use a loss on whole texts"
    ):
        RewardTrainer(
            BertForSequenceClassification(config),
            RewardConfig(**settings()),
            data,
            processing_class=tokenizer,
            loss="segment_hinge",
        )


def test_a_model_created_in_memory_needs_a_tokenizer(language_model, pairs, settings):
    config = AutoConfig.from_pretrained(language_model, num_labels=1)
    config._name_or_path = ""
    with pytest.raises(UnsupportedModelError, match="processing_class"):
        refuse(pairs, None, settings, model=LlamaForSequenceClassification(config))


@pytest.mark.upstream
def test_a_stream_trains_like_a_dataset(language_model, pairs, settings):
    stream = RewardTrainer(language_model, RewardConfig(**settings()), pairs.to_iterable_dataset())
    stream.train()
    assert stream.state.global_step == 3


@pytest.mark.upstream
def test_a_stream_is_evaluated_like_a_dataset(language_model, pairs, settings):
    measured = [
        RewardTrainer(language_model, RewardConfig(**settings()), pairs, eval_dataset=data).evaluate()
        for data in (pairs, pairs.to_iterable_dataset())
    ]
    for name in ("eval_loss", "eval_accuracy", "eval_mean_reward"):
        assert measured[1][name] == pytest.approx(measured[0][name], rel=1e-5)


def test_a_stream_cannot_be_averaged_over_prompts(language_model, pairs, settings):
    with pytest.raises(FeedbackMismatchError, match="stream"):
        RewardTrainer(language_model, RewardConfig(**settings(average_over="prompts")), pairs.to_iterable_dataset())


def test_rows_of_different_feedback_types_train_their_terms(language_model, settings):
    data = rows(
        prompt=["Q "] * 4,
        chosen=["yes", "yes", None, None],
        rejected=["no", "no", None, None],
        completions=[None, None, ["a. ", "b."], ["c."]],
        labels=[None, None, [1, 0], [1]],
    )
    trainer = refuse(data, "bradley_terry + segment_hinge", settings, model=language_model)
    (batch,) = trainer.data_collator([trainer.train_dataset[i] for i in range(4)])["passes"]
    assert StepLoss(trainer.objective).begin([batch]).tolist() == [2, 3]
    trainer.train()


@pytest.mark.parametrize("source", ["saved with the model", "file"])
def test_a_conversation_that_the_template_refuses_is_named_before_the_model_is_loaded(
    language_model, settings, other_tokenizer, tmp_path, monkeypatch, source
):
    template = (
        "{% for m in messages %}{% if loop.index0 % 2 != (m['role'] == 'assistant') | int %}"
        "{{ raise_exception('roles must alternate') }}{% endif %}{{ m['content'] }}{% endfor %}"
    )
    other_tokenizer.chat_template = template if source == "saved with the model" else None
    file = tmp_path / "chat.jinja"
    file.write_text(template)
    more = {} if source == "saved with the model" else {"chat_template_path": str(file)}
    good, bad = ([{"role": role, "content": "a"}] for role in ("assistant", "user"))
    rows = [{"prompt": bad, "chosen": good, "rejected": good}, {"prompt": bad, "chosen": good, "rejected": bad}]
    monkeypatch.setattr("trl.RewardTrainer.__init__", lambda *_, **__: pytest.fail("the model is loaded"))
    with pytest.raises(InvalidFeedbackError, match=r"Row 1 of train data: .*roles user, user.*roles must alternate"):
        RewardTrainer(
            language_model, RewardConfig(**settings(**more)), Dataset.from_list(rows), processing_class=other_tokenizer
        )


def test_columns_of_the_user_may_have_the_names_of_prepared_columns(settings, language_model):
    data = rows(prompt=["Q ", "Q "], chosen=["yes", "yes"], rejected=["no", "no!"]).add_column("text_ids", ["a", "b"])
    data = data.add_column("prompt_weight", [7.0, 8.0]).add_column("length", ["x", "y"])
    trainer = RewardTrainer(language_model, RewardConfig(**settings(average_over="prompts")), data)
    assert trainer.train_dataset["prompt_weight"] == [0.5, 0.5]
    assert all(isinstance(ids, list) for row in trainer.train_dataset for ids in row["text_ids"])


def test_evaluation_refuses_columns_before_the_model_is_loaded(cli, language_model, write_rows, monkeypatch):
    monkeypatch.setattr("rlhf_losses.scoring.Scorer.from_pretrained", lambda *_, **__: pytest.fail("it is loaded"))
    result = cli("evaluate", "--model", language_model, "--dataset", write_rows({"question": "a", "good": "b"}))
    assert result.code == 2
    assert "hold no known feedback" in result.err
