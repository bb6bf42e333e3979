"""A saved model gives the same score in `Scorer`, in transformers, and by the rules of other programs."""

import json
from pathlib import Path

import pytest
import torch
import transformers as hf
from datasets import Dataset
from loader_rules import (
    auto_model,
    openrlhf,
    sglang_classify,
    text_classification,
    text_embeddings_inference,
    trl_reward_model,
    verl,
    vllm_classify,
    vllm_messages,
    vllm_token_classify,
)
from peft import LoraConfig
from thorough_cases import with_thorough
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

from rlhf_losses import RewardConfig, RewardTrainer, Scorer
from rlhf_losses.feedback.base import Answer
from rlhf_losses.scoring import fit_reference

PROMPTS, COMPLETIONS = ["What is 3 + 3? ", "Why? ", ""], ["It is 6.", "Because it is,\nand was.", "No idea!"]
TEXTS = [prompt + completion for prompt, completion in zip(PROMPTS, COMPLETIONS, strict=True)]
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<{{ m['role'] }}> {{ m['content'] }}{{ eos_token }}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant> {% endif %}"
)
same = 1e-4


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


CONVERSATIONS = [[user(prompt), assistant(completion)] for prompt, completion in zip(PROMPTS, COMPLETIONS, strict=True)]


@pytest.fixture(scope="module")
def train(tokenizer, pairs, tmp_path_factory):
    """Return a function that trains a tiny model, and returns the trainer."""

    def train(
        family="Llama",
        data=pairs,
        peft_config=None,
        template=None,
        loss="bradley_terry",
        dtype=torch.float32,
        **settings,
    ):
        folder = tmp_path_factory.mktemp(family)
        own = AutoTokenizer.from_pretrained(saved_tokenizer(tokenizer, template, folder / "base"))
        shape = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "max_position_embeddings": 512}
        torch.manual_seed(0)
        if family == "Qwen2":
            shape["num_key_value_heads"] = 2
        config = getattr(hf, f"{family}Config")(
            vocab_size=len(own), pad_token_id=0, bos_token_id=1, eos_token_id=2, **shape
        )
        model = getattr(hf, f"{family}ForCausalLM" if family != "GPT2" else "GPT2LMHeadModel")(config)
        model.to(dtype).save_pretrained(folder / "base")
        arguments = {"max_steps": 3, "per_device_train_batch_size": 8, "learning_rate": 1e-2, "report_to": "none"}
        args = {"bf16": False, "use_cpu": True, "disable_tqdm": True, "save_strategy": "no", **arguments, **settings}
        base = str(folder / "base")
        trainer = RewardTrainer(
            base, RewardConfig(str(folder / "run"), **args), data, peft_config=peft_config, loss=loss
        )
        trainer.train()
        return trainer

    return train


def saved_tokenizer(tokenizer, template, folder: Path) -> Path:
    tokenizer.save_pretrained(folder)
    if template is not None:
        (folder / "chat_template.jinja").write_text(template)
    return folder


def scores_elsewhere(folder: Path, text: str) -> dict[str, float]:
    return {
        "pipeline": text_classification(folder, text),
        "vLLM": vllm_classify(folder, text),
        "SGLang": sglang_classify(folder, text),
        "text-embeddings-inference": text_embeddings_inference(folder, text),
    }


def require_same(folder: Path, texts: list[str], expected: list[float]) -> None:
    assert auto_model(folder, texts) == pytest.approx(expected, abs=same)
    for text, score in zip(texts, expected, strict=True):
        for name, other in scores_elsewhere(folder, text).items():
            assert other == pytest.approx(score, abs=same), name


LORA = LoraConfig(r=4, target_modules="all-linear")


@pytest.mark.upstream
@pytest.mark.filterwarnings("ignore:fan_in_fan_out")
@pytest.mark.parametrize(
    ("family", "settings"),
    with_thorough(
        [("GPT2", {"peft_config": LORA}), ("Qwen2", {"model_init_kwargs": {"dtype": "bfloat16"}})],
        [("Llama", {"peft_config": LORA}), ("Llama", {}), ("Llama", {"bf16": True, "peft_config": LORA})],
    ),
    ids=["GPT-2", "bfloat16 weights", "adapters", "all weights", "mixed precision"],
)
def test_a_model_of_plain_texts(train, family, settings):
    trainer = train(family, **settings)
    folder = trainer.save_merged()
    scorer = Scorer.from_pretrained(folder)
    expected = scorer(PROMPTS, COMPLETIONS)
    assert len({round(score, 4) for score in expected}) == len(expected)
    assert scorer.score(TEXTS) == pytest.approx(expected, abs=1e-6)
    require_same(folder, TEXTS, expected)
    in_pairs = pipeline("text-classification", model=str(folder))({"text": PROMPTS[0], "text_pair": COMPLETIONS[0]})
    assert in_pairs["score"] == pytest.approx(expected[0], abs=same)
    ended = scorer.score([text + scorer.tokenizer.eos_token for text in TEXTS])
    assert ended == pytest.approx(expected, abs=1e-6)


@pytest.mark.upstream
def test_what_a_configuration_says(train):
    folder = train().save_merged()
    config = json.loads((folder / "config.json").read_text())
    assert config["problem_type"] == "regression"
    assert config["id2label"] == {"0": "reward"}
    assert config["pad_token_id"] == 0
    assert AutoModelForSequenceClassification.from_pretrained(folder).config.num_labels == 1
    head = AutoModelForSequenceClassification.from_pretrained(folder).score
    assert (head.out_features, head.bias) == (1, None)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_adapters_before_they_are_merged(train, dtype):
    """A folder of adapters has no configuration, so transformers takes that of the base unless it is told otherwise."""
    trainer = train(peft_config=LORA, dtype=dtype)
    folder = Path(trainer.args.output_dir, "adapters")
    trainer.save_model(str(folder))
    expected = Scorer.from_pretrained(folder)(PROMPTS, COMPLETIONS)
    options = {"num_labels": 1, "problem_type": "regression", "dtype": "float32"}
    classify = pipeline("text-classification", model=str(folder), tokenizer=str(folder), model_kwargs=options)
    assert [one["score"] for one in classify(TEXTS)] == pytest.approx(expected, abs=same)
    merged = trainer.save_merged(folder.with_name("merged"))
    require_same(merged, TEXTS, expected)


def chats(pairs) -> Dataset:
    """Return the pairs as conversations."""
    rows = [
        {
            "prompt": [user(row["prompt"])],
            "chosen": [assistant(row["chosen"])],
            "rejected": [assistant(row["rejected"])],
        }
        for row in pairs
    ]
    return Dataset.from_list(rows)


@pytest.fixture(scope="module")
def chat_folder(train, pairs) -> Path:
    """Return a model of conversations whose template writes BOS and EOS."""
    return train(data=chats(pairs), template=TEMPLATE, peft_config=LORA).save_merged()


@pytest.mark.upstream
def test_a_model_of_conversations(chat_folder):
    scorer, tokenizer = Scorer.from_pretrained(chat_folder), AutoTokenizer.from_pretrained(chat_folder)
    expected = scorer([[one[0]] for one in CONVERSATIONS], [[one[1]] for one in CONVERSATIONS])
    assert [vllm_messages(chat_folder, one) for one in CONVERSATIONS] == pytest.approx(expected, abs=same)
    texts = [tokenizer.apply_chat_template(one, tokenize=False) for one in CONVERSATIONS]
    require_same(chat_folder, texts, expected)
    assert scorer.score(texts) == pytest.approx(expected, abs=1e-6)
    assert scorer.score(CONVERSATIONS) == pytest.approx(expected, abs=1e-6)
    ids = tokenizer(texts[0])["input_ids"]
    assert (ids[:2].count(1), ids.count(2)) == (1, 2)


def test_plain_texts_have_one_score_in_a_model_of_conversations_too(chat_folder, caplog):
    scorer = Scorer.from_pretrained(chat_folder)
    require_same(chat_folder, TEXTS, scorer.score(TEXTS))
    assert "plain texts" not in caplog.text
    assert scorer(PROMPTS, COMPLETIONS) == pytest.approx(scorer.score(TEXTS), abs=1e-6)
    assert caplog.text.count("was trained on conversations") == 1


def test_verl_removes_a_bos_that_the_template_writes(chat_folder, train, pairs):
    """The documented exception: verl relies on a tokenizer that adds BOS, which would double it everywhere else."""
    expected = Scorer.from_pretrained(chat_folder).score(CONVERSATIONS)
    assert [verl(chat_folder, one) for one in CONVERSATIONS] != pytest.approx(expected, abs=same)
    folder = train(data=chats(pairs), template=TEMPLATE.removeprefix("{{ bos_token }}")).save_merged()
    expected = Scorer.from_pretrained(folder).score(CONVERSATIONS)
    assert [verl(folder, one) for one in CONVERSATIONS] == pytest.approx(expected, abs=same)


@pytest.mark.upstream
def test_trl_scores_plain_texts_without_special_tokens(train, chat_folder):
    """The documented exception: a path among `reward_funcs` of GRPO. A `Scorer` there gives the right scores."""
    folder = train().save_merged()
    scorer = Scorer.from_pretrained(folder)
    assert [trl_reward_model(folder, text) for text in TEXTS] != pytest.approx(scorer.score(TEXTS), abs=same)
    text = AutoTokenizer.from_pretrained(chat_folder).apply_chat_template(CONVERSATIONS[0], tokenize=False)
    expected = Scorer.from_pretrained(chat_folder).score(CONVERSATIONS[:1])
    assert [trl_reward_model(chat_folder, text)] == pytest.approx(expected, abs=same)


@pytest.mark.upstream
def test_a_long_text_is_truncated_as_in_training_on_request(train, pairs):
    """A pipeline truncates on request only. The tokenizer then cuts the text on the left, as training cuts prompts."""
    folder = train(max_length=40, overlong="truncate_prompt").save_merged()
    scorer, prompt = Scorer.from_pretrained(folder), "x" * 60 + " What is 3 + 3? "
    expected = scorer([prompt], ["It is 6."])
    classify = pipeline("text-classification", model=str(folder))
    assert classify(prompt + "It is 6.", truncation=True)[0]["score"] == pytest.approx(expected[0], abs=same)
    assert classify(prompt + "It is 6.")[0]["score"] != pytest.approx(expected[0], abs=same)


def test_the_raw_score_stays_and_openrlhf_standardizes_on_request(train):
    folder = train().save_merged()
    before = Scorer.from_pretrained(folder)(PROMPTS, COMPLETIONS)
    fit_reference(Scorer.from_pretrained(folder), PROMPTS, COMPLETIONS, folder)
    scorer = Scorer.from_pretrained(folder)
    require_same(folder, TEXTS, before)
    ids = [text.ids for text in scorer.encoder.encode_completions(PROMPTS, COMPLETIONS)]
    assert [openrlhf(folder, one) for one in ids] == pytest.approx(before, abs=same)
    normalized = scorer.with_transforms("standardize")(PROMPTS, COMPLETIONS)
    assert [openrlhf(folder, one, normalize=True) for one in ids] == pytest.approx(normalized, abs=same)


@pytest.mark.upstream
def test_scores_of_steps_are_those_of_the_tokens_that_scorer_names(train):
    rows = [
        {"prompt": "Count. ", "completions": ["One.", "Two.", "Five."], "labels": [1.0, 1.0, 0.0]},
        {"prompt": "Add. ", "completions": ["1 + 1", "= 3"], "labels": [1.0, 0.0]},
    ]
    folder = train(data=Dataset.from_list(rows * 4), loss="step_cross_entropy").save_merged()
    scorer = Scorer.from_pretrained(folder)
    text = scorer.encoder.encode(Answer("Count. ", ("One.", "Two.", "Three.")))
    tokens = vllm_token_classify(folder, text.ids)
    expected = scorer.score_steps("Count. ", ["One.", "Two.", "Three."])
    assert [tokens[position] for position in text.positions] == pytest.approx(expected, abs=same)


def test_a_checkpoint_and_a_run_that_continues_from_a_saved_model_have_the_same_tokens(train, pairs):
    trainer = train(save_strategy="steps", save_steps=3)
    rows = [row["text_ids"] for row in trainer.train_dataset]
    folder = Path(trainer.args.output_dir, "checkpoint-3")
    assert Scorer.from_pretrained(folder).score(TEXTS) == pytest.approx(
        Scorer.from_pretrained(trainer.save_merged()).score(TEXTS), abs=1e-6
    )
    args = RewardConfig(str(folder.parent / "more"), bf16=False, use_cpu=True, report_to="none")
    further = RewardTrainer(str(folder), args, pairs)
    assert [row["text_ids"] for row in further.train_dataset] == rows
