"""`rlhf-losses doctor` finds what is wrong with a reward model, with its number and a remedy."""

import json
import shutil
import string

import pytest
import torch
from changed_files import change_head, change_json
from safetensors.torch import load_file, save_file
from tiny_llama import tiny_classifier
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import GPT2Config, GPT2ForSequenceClassification, PreTrainedTokenizerFast

from rlhf_losses import bradley_terry
from rlhf_losses.cli.main import main
from rlhf_losses.scoring import describe_model
from rlhf_losses.scoring.examination import examine

TEMPLATE = "<bos>{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}<eos>{% endfor %}"
DATE = "<bos>{{ strftime_now('%d %b %Y') }}{% for m in messages %}{{ m['content'] }}<eos>{% endfor %}"


def character_tokenizer(**changes: str) -> PreTrainedTokenizerFast:
    """Return a tokenizer of characters that puts BOS before texts."""
    tokens = ["<pad>", "<bos>", "<eos>", "<unk>", *string.printable]
    core = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, [], unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    core.decoder = decoders.Fuse()
    core.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 1)])
    special = {"pad_token": "<pad>", "bos_token": "<bos>", "eos_token": "<eos>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(
        tokenizer_object=core, clean_up_tokenization_spaces=False, model_max_length=128, **special | changes
    )


SIZES = {"vocab_size": 4 + len(string.printable), "max_position_embeddings": 128}


def save(folder, model=None, tokenizer=None, template=TEMPLATE, recorded=True):
    """Write a reward model with its metadata, and return the folder."""
    tokenizer = tokenizer or character_tokenizer()
    tokenizer.chat_template = template
    if model is None:
        model = tiny_classifier(**SIZES)
        model.score.weight.data *= 100
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    if recorded:
        describe_model(bradley_terry, [], model, tokenizer).save(folder)
    return folder


@pytest.fixture(scope="module")
def healthy(tmp_path_factory):
    return save(tmp_path_factory.mktemp("doctor"))


@pytest.fixture
def copied(healthy, tmp_path):
    return shutil.copytree(healthy, tmp_path / "model")


def results(folder, **options):
    """Return the checks by name."""
    return {check.name: check for check in examine(folder, **options)}


def failed(folder, **options) -> set[str]:
    checks = results(folder, **options).values()
    assert all(check.remedy for check in checks if check.state == "failed")
    return {check.name for check in checks if check.state == "failed"}


def test_a_healthy_model_passes_every_check(healthy):
    checks = results(healthy, policy=healthy)
    others = {name: check.state for name, check in checks.items() if check.state != "passed"}
    assert others == {"characters": "noted"}, checks  # a vocabulary of characters
    assert "the tokenizer adds a second BOS, which changes the score by 0" in checks["double BOS"].found
    assert "10 recorded inputs have their tokens and scores" in checks["canary text"].found


def test_what_was_not_recorded_is_said(tmp_path):
    checks = results(save(tmp_path, recorded=False))
    unrecorded = {name for name, check in checks.items() if check.state == "not recorded"}
    assert unrecorded == {
        "canary text", "canary conversation", "recorded head", "recorded padding", "recorded chat template"
    }  # fmt: skip
    assert not failed(tmp_path)


def test_a_padding_token_that_ends_texts_fails(tmp_path):
    model = tiny_classifier(**SIZES | {"pad_token_id": 2})
    assert {"plain classifier", "padding token"} <= failed(
        save(tmp_path, model, character_tokenizer(pad_token="<eos>"))
    )


def test_absolute_positions_with_padding_on_the_left_fail(tmp_path):
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=SIZES["vocab_size"], n_embd=16, n_layer=1, n_head=2, n_positions=128, num_labels=1, pad_token_id=0
    )
    assert failed(save(tmp_path, GPT2ForSequenceClassification(config).eval())) == {"padding side"}


@pytest.mark.parametrize("round_weights", [torch.Tensor.bfloat16, torch.Tensor.half], ids=["bfloat16", "float16"])
def test_a_rounded_head_fails(copied, round_weights):
    change_head(copied, round_weights)
    assert {"head in float32", "recorded head"} <= failed(copied)


def test_a_new_head_fails_both_canaries(copied):
    change_head(copied, torch.randn_like)
    assert failed(copied) == {"canary text", "canary conversation", "recorded head"}


def test_a_template_with_a_date_fails_with_the_change_of_the_score(tmp_path):
    check = results(save(tmp_path, template=DATE))["date in template"]
    assert check.state == "failed"
    assert "another day changes" in check.found
    assert "of the spread" in check.found


def test_a_template_without_an_end_fails(tmp_path):
    assert failed(save(tmp_path, template=TEMPLATE.replace("<eos>", " "))) == {"end of conversations"}


def test_a_changed_template_fails(copied):
    (copied / "chat_template.jinja").write_text(TEMPLATE.replace(":", ";"))
    assert failed(copied) == {"canary conversation", "recorded chat template"}


def test_a_template_that_drops_the_answer_fails(tmp_path):
    template = "<bos>{% for m in messages if m['role'] == 'user' %}{{ m['content'] }}<eos>{% endfor %}"
    check = results(save(tmp_path, template=template))["content of conversations"]
    assert (check.state, check.found) == ("failed", "another answer has the same tokens")


def test_a_template_that_was_added_fails(tmp_path):
    save(tmp_path, template=None)
    assert results(tmp_path)["recorded chat template"].state == "passed"
    (tmp_path / "chat_template.jinja").write_text(TEMPLATE)
    assert failed(tmp_path) == {"recorded chat template"}


def test_scores_that_do_not_depend_on_the_text_fail(tmp_path):
    model = tiny_classifier(**SIZES)
    model.score.weight.data.zero_()
    assert failed(save(tmp_path, model)) == {"spread of scores"}


def test_a_bias_that_the_head_does_not_use_fails(copied):
    weights = load_file(copied / "model.safetensors") | {"score.bias": torch.ones(1)}
    save_file(weights, copied / "model.safetensors", metadata={"format": "pt"})
    (check,) = results(copied).values()
    assert "'score.bias', which the score head of LlamaForSequenceClassification does not use" in check.found


def test_a_configuration_without_padding_token_fails(copied):
    change_json(copied, "config.json", pad_token_id=None)
    assert failed(copied) == {"plain classifier", "padding token"}


def test_a_tokenizer_that_adds_bos_twice_fails(tmp_path):
    tokenizer = character_tokenizer()
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> <bos> $A", special_tokens=[("<bos>", 1)]
    )
    check = results(save(tmp_path, tokenizer=tokenizer))["double BOS"]
    assert (check.state, check.found) == (
        "failed",
        "the tokenizer puts BOS 2 times before every text; Scorer keeps one",
    )


def test_a_context_in_which_no_text_fits_fails(copied):
    change_json(copied, "config.json", max_position_embeddings=4)
    (check,) = results(copied).values()
    assert "a context of 4 tokens" in check.found


def test_texts_without_eos_fail(tmp_path):
    assert "EOS of texts" in failed(save(tmp_path, tokenizer=character_tokenizer(eos_token=None)))


@pytest.mark.parametrize(
    ("file", "change", "name"),
    [
        ("config.json", {"problem_type": "multi_label_classification"}, "problem_type"),
        ("config.json", {"problem_type": "single_label_classification"}, "loads"),
        ("config.json", {"pad_token_id": 7}, "padding token"),
        ("tokenizer_config.json", {"model_max_length": 4096}, "length limit"),
    ],
)
def test_wrong_settings_fail(copied, file, change, name):
    change_json(copied, file, **change)
    assert name in failed(copied)


def test_rounding_to_bfloat16_is_judged_by_the_spread_of_scores(tmp_path):
    """The hidden states of all texts are nearly alike, so rounding is a large part of their differences."""
    model = tiny_classifier(**SIZES)
    embeddings = model.model.embed_tokens.weight.data
    embeddings.copy_(100 * embeddings[5] + 0.01 * embeddings)
    assert "bfloat16" in failed(save(tmp_path, model))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda weight: weight * torch.nan, "NaN"),
        (lambda weight: weight.repeat(2, 1), "cannot be loaded as a reward model: You set"),
    ],
    ids=["nan", "labels"],
)
def test_a_model_that_cannot_be_loaded_has_one_failed_check(copied, change, reason):
    change_head(copied, change)
    [check] = examine(copied)
    assert (check.name, check.state) == ("loads", "failed")
    assert reason in check.found


def test_the_tokenizer_of_a_policy_is_compared(healthy, tmp_path):
    other = character_tokenizer(eos_token="<unk>")
    other.add_tokens(["canary"])
    other.save_pretrained(tmp_path)
    checks = results(healthy, policy=tmp_path)
    assert checks["policy vocabulary"].found == f"1 of {len(other)} tokens differ"
    assert checks["policy special tokens"].found == "eos_token '<eos>', policy '<unk>'"
    assert checks["policy round trip"].state == "passed"


def test_the_command_prints_numbers_and_remedies_and_exits_with_1_if_a_check_fails(healthy, copied, capsys):
    assert main(["doctor", str(healthy)]) == 0
    assert "0 failed" in capsys.readouterr().out
    change_json(copied, "config.json", problem_type="multi_label_classification")
    assert main(["doctor", str(copied)]) == 1
    assert "problem_type: Set problem_type to 'regression'" in capsys.readouterr().out
    assert main(["doctor", str(copied), "--json"]) == 1
    (found,) = [check for check in json.loads(capsys.readouterr().out) if check["name"] == "batch size"]
    assert found["state"] == "passed"
    assert main(["doctor", str(copied / "nowhere")]) == 2
