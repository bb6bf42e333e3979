"""The model reads the same text in training, evaluation, scoring and PPO: that of the tokenizer's own rendering."""

import json

import pytest
import torch
from datasets import Dataset
from transformers import LlamaConfig, LlamaForSequenceClassification

from rlhf_losses import RewardConfig, RewardTrainer, Scorer, bradley_terry, score_decay, segment_rating
from rlhf_losses.data.tokenization import Encoded
from rlhf_losses.errors import InvalidArgumentError
from rlhf_losses.scoring import evaluate
from rlhf_losses.scoring.metadata import describe_model

TEMPLATE = (
    "{{ bos_token }}{% if tools %}[tools {{ tools | tojson }}]{% endif %}"
    "{% if documents %}[documents {% for d in documents %}{{ d['text'] }}{% endfor %}]{% endif %}"
    "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}"
    "{% if m['tool_calls'] %}[call {{ m['tool_calls'] | tojson }}]{% endif %}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}{% if mood %}[{{ mood }}]{% endif %}"
)

TOOLS = [{"type": "function", "function": {"name": "search", "parameters": {"properties": {"query": {}}}}}]

CALL = [{"type": "function", "function": {"name": "search", "arguments": {"query": "cats"}}}]


def user(text: str) -> list[dict]:
    return [{"role": "user", "content": text}]


def assistant(text: str, **more) -> list[dict]:
    return [{"role": "assistant", "content": text, **more}]


PAIR = {"prompt": user("Do cats purr?"), "chosen": assistant("They do."), "rejected": assistant("No!")}

ROWS = {
    "tools": (PAIR | {"tools": TOOLS}, {"tools": TOOLS}),
    "tools as JSON": (PAIR | {"tools": json.dumps(TOOLS)}, {"tools": TOOLS}),
    "chat_template_kwargs": (PAIR | {"chat_template_kwargs": {"mood": "kind"}}, {"mood": "kind"}),
    "documents": (PAIR | {"documents": [{"text": "Cats purr."}]}, {"documents": [{"text": "Cats purr."}]}),
    "no prompt column": (
        {"chosen": PAIR["prompt"] + PAIR["chosen"], "rejected": PAIR["prompt"] + PAIR["rejected"]},
        {},
    ),
}  # fmt: skip


@pytest.fixture
def chat_tokenizer(other_tokenizer):
    other_tokenizer.chat_template = TEMPLATE
    return other_tokenizer


@pytest.fixture
def context_model(tokenizer):
    """Return a function that makes a random reward model with a context length."""

    def make(context: int = 512) -> LlamaForSequenceClassification:
        torch.manual_seed(0)
        sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
        return LlamaForSequenceClassification(
            LlamaConfig(
                vocab_size=len(tokenizer), max_position_embeddings=context, num_labels=1, pad_token_id=0, **sizes
            )
        )

    return make


def trainer_of(rows: list[dict], model, tokenizer, folder, **settings) -> RewardTrainer:
    args = RewardConfig(str(folder), per_device_train_batch_size=1, report_to="none", bf16=False, **settings)
    data = Dataset.from_list(rows)
    return RewardTrainer(model, args, data, data, processing_class=tokenizer)


def saved_scorer(trainer: RewardTrainer, folder) -> Scorer:
    trainer.save_merged(folder)
    return Scorer.from_pretrained(folder)


class ReadTexts:
    """Records the texts that a scorer tokenizes."""

    def __init__(self, scorer: Scorer) -> None:
        self.texts: set[str] = set()
        original = scorer.score_parts

        def score_parts(texts, features=False):
            self.texts |= {scorer.tokenizer.decode(text.ids) for text in texts}
            return original(texts, features)

        scorer.score_parts = score_parts


@pytest.mark.parametrize("case", ROWS)
def test_the_text_of_a_row_is_that_of_the_tokenizer(chat_tokenizer, context_model, tmp_path, case):
    row, arguments = ROWS[case]
    expected = {
        chat_tokenizer.apply_chat_template(PAIR["prompt"] + PAIR[side], tokenize=False, **arguments)
        for side in ("chosen", "rejected")
    }
    trainer = trainer_of([row], context_model(), chat_tokenizer, tmp_path, max_length=None)
    trained = trainer.train_dataset[0]
    assert {chat_tokenizer.decode(ids) for ids in trained["text_ids"]} == expected
    answers = [text.split("<assistant>")[1] for text in map(chat_tokenizer.decode, trained["text_ids"])]
    assert trained["score_length"] == [
        len(ids) for ids in chat_tokenizer(answers, add_special_tokens=False)["input_ids"]
    ]

    scorer = Scorer(trainer.model, chat_tokenizer)
    read = ReadTexts(scorer)
    loss = evaluate(scorer, Dataset.from_list([row]), bradley_terry)["loss"]
    assert read.texts == expected
    assert loss == pytest.approx(trainer.evaluate()["eval_loss"], abs=1e-6)

    read.texts = set()
    columns = {name: [row[name]] for name in row if name not in PAIR}
    for side in ("chosen", "rejected"):
        scorer([PAIR["prompt"]], [PAIR[side]], **columns)
    assert read.texts == expected


@pytest.mark.parametrize("case", ["tools as JSON", "chat_template_kwargs", "documents"])
def test_the_command_scores_the_same_text(done, chat_tokenizer, context_model, tmp_path, case):
    row, _ = ROWS[case]
    scorer = saved_scorer(trainer_of([row], context_model(), chat_tokenizer, tmp_path, max_length=None), tmp_path / "m")
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    lines = done("score", "--model", tmp_path / "m", "--dataset", tmp_path / "rows.jsonl").out.splitlines()
    columns = {name: [row[name]] for name in row if name not in PAIR}
    expected = [scorer([PAIR["prompt"]], [PAIR[side]], **columns)[0] for side in ("chosen", "rejected")]
    assert [json.loads(line)["score"] for line in lines] == pytest.approx(expected, abs=1e-6)
    assert expected != pytest.approx(scorer([PAIR["prompt"]] * 2, [PAIR["chosen"], PAIR["rejected"]]), abs=1e-4)


def test_nulls_of_an_arrow_table_are_not_part_of_the_text(chat_tokenizer, context_model, tmp_path):
    """The first conversation has tool calls with a key that the second one lacks; Arrow fills both with null."""
    other = [{"type": "function", "function": {"name": "weather", "arguments": {"city": "Rome"}}}]
    rows = [
        PAIR | {"chosen": [{"role": "assistant", "tool_calls": CALL}]},
        PAIR | {"chosen": [{"role": "assistant", "tool_calls": other}]},
    ]
    trainer = trainer_of(rows, context_model(), chat_tokenizer, tmp_path, max_length=None)
    texts = [chat_tokenizer.decode(ids) for row in trainer.train_dataset for ids in row["text_ids"]]
    assert not any("null" in text or "None" in text for text in texts)
    assert texts[0] == chat_tokenizer.apply_chat_template(PAIR["prompt"] + rows[0]["chosen"], tokenize=False)


def test_a_system_prompt_in_a_column_is_the_first_message(chat_tokenizer, context_model, tmp_path):
    trainer = trainer_of([PAIR | {"system": "Be kind."}], context_model(), chat_tokenizer, tmp_path, max_length=None)
    expected = [{"role": "system", "content": "Be kind."}, *PAIR["prompt"], *PAIR["chosen"]]
    text = chat_tokenizer.decode(trainer.train_dataset[0]["text_ids"][0])
    assert text == chat_tokenizer.apply_chat_template(expected, tokenize=False)


def test_ratings_that_are_grouped_by_prompt_keep_the_arguments_of_the_template(chat_tokenizer, context_model, tmp_path):
    rows = [
        {"prompt": PAIR["prompt"], "completion": PAIR[side], "rating": rating, "chat_template_kwargs": {"mood": "kind"}}
        for side, rating in (("chosen", 5), ("rejected", 1))
    ]
    trainer = trainer_of(rows, context_model(), chat_tokenizer, tmp_path, max_length=None)
    (row,) = trainer.train_dataset
    assert [chat_tokenizer.decode(ids)[-6:] for ids in row["text_ids"]] == ["[kind]", "[kind]"]


WEIGHTED = [
    {"chosen": user("a") + assistant("The cat"), "rejected": user("a") + assistant("The dog")},
    {"chosen": user("a") + assistant("One"), "rejected": user("a") + assistant("Two")},
    {"chosen": user("b") + assistant("The cat"), "rejected": user("b") + assistant("The dog")},
]


def test_prompts_are_weighted_equally_with_and_without_a_prompt_column(chat_tokenizer, context_model, tmp_path):
    explicit = [
        {"prompt": row["chosen"][:1], "chosen": row["chosen"][1:], "rejected": row["rejected"][1:]} for row in WEIGHTED
    ]
    for rows in (WEIGHTED, explicit):
        trainer = trainer_of(rows, context_model(), chat_tokenizer, tmp_path, average_over="prompts")
        assert trainer.train_dataset["prompt_weight"] == [0.5, 0.5, 1.0]


LONG = {
    "chosen": user("x" * 300) + assistant("Fine, and more."),
    "rejected": user("x" * 300) + assistant("Bad!"),
}


@pytest.mark.parametrize("case", ["prompt column", "no prompt column"])
def test_truncated_prompts_are_the_same_in_training_evaluation_and_scoring(
    done, caplog, chat_tokenizer, context_model, tmp_path, case
):
    row = {"prompt": LONG["chosen"][:1], "chosen": LONG["chosen"][1:], "rejected": LONG["rejected"][1:]}
    row = row if case == "prompt column" else LONG
    settings = {"max_length": 64, "overlong": "truncate_prompt"}
    trainer = trainer_of([row], context_model(), chat_tokenizer, tmp_path, **settings)
    assert "the prompts of 1 of 1 rows are truncated" in caplog.text
    ids = trainer.train_dataset[0]["text_ids"]
    assert max(map(len, ids)) == 64
    assert all(chat_tokenizer.decode(one).startswith("<bos>x") for one in ids)

    scorer = saved_scorer(trainer, tmp_path / "model")
    read = ReadTexts(scorer)
    loss = evaluate(scorer, Dataset.from_list([row]), bradley_terry)["loss"]
    assert loss == pytest.approx(trainer.evaluate()["eval_loss"], abs=1e-6)
    assert read.texts == {chat_tokenizer.decode(one) for one in ids}

    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    command = ("--model", tmp_path / "model", "--dataset", tmp_path / "rows.jsonl")
    lines = [json.loads(line) for line in done("score", *command).out.splitlines()]
    assert [line["truncated"] for line in lines] == [trainer.train_dataset[0]["removed"]] * 2
    assert done("evaluate", *command, "--json").out


@pytest.mark.parametrize(
    ("overlong", "scored", "code"), [("drop", False, 0), ("truncate_prompt", True, 0), ("error", None, 2)]
)
def test_score_treats_long_texts_as_requested(cli, chat_tokenizer, context_model, tmp_path, overlong, scored, code):
    model, rows = context_model(context=128), [PAIR, LONG]
    model.save_pretrained(tmp_path / "model")
    chat_tokenizer.save_pretrained(tmp_path / "model")
    describe_model(bradley_terry, [], model, chat_tokenizer, overlong="drop").save(tmp_path / "model")
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = ("score", "--model", tmp_path / "model", "--dataset", tmp_path / "rows.jsonl", "--overlong", overlong)
    result = cli(*command)
    assert result.code == code
    if overlong == "error":
        assert "Row 1: A text has" in result.err
        return
    lines = [json.loads(line) for line in result.out.splitlines()]
    assert [line["score"] is not None for line in lines] == [True, True, scored, scored]
    assert ["truncated" in line for line in lines] == [False, False, scored, scored]
    assert ["problem" in line for line in lines] == [False, False, not scored, not scored]


def test_a_conversation_that_the_template_refuses_does_not_affect_the_others(
    done, chat_tokenizer, context_model, tmp_path
):
    chat_tokenizer.chat_template = (
        "{% for m in messages %}{% if m['role'] == 'tool' %}{{ raise_exception('no tools') }}{% endif %}"
        "{{ m['content'] }}{% endfor %}"
    )
    context_model().save_pretrained(tmp_path / "model")
    chat_tokenizer.save_pretrained(tmp_path / "model")
    rows = [
        {"messages": user("Hi") + assistant("Hello.")},
        {"messages": [{"role": "tool", "content": "4"}]},
        {"messages": [{"role": "assistant", "content": [{"type": "text", "text": "Hey"}]}]},
        {"messages": [{"role": "assistant", "content": None}]},
        {"messages": user("Hi") + assistant("Hello.")},
    ]  # fmt: skip
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = done("score", "--model", tmp_path / "model", "--dataset", tmp_path / "rows.jsonl")
    lines = [json.loads(line) for line in result.out.splitlines()]
    assert [line["score"] is None for line in lines] == [False, True, False, True, False]
    assert "no tools" in lines[1]["problem"]
    assert "null" in lines[3]["problem"]
    assert lines[0]["score"] == pytest.approx(lines[4]["score"])


FORMATS = {
    "chosen_steps": (
        {"chosen_steps": ["One. ", "Two."], "rejected_steps": ["Three."]},
        [{"column": "chosen_steps", "index": 0}, {"column": "chosen_steps", "index": 1},
         {"column": "rejected_steps", "index": 0}],
        [{"column": "chosen_steps"}, {"column": "rejected_steps"}],
    ),
    "completion_steps": (
        {"completion_steps": [["One. ", "Two."], ["Three."]], "ranks": [1, 2]},
        [{"column": "completion_steps", "index": 0, "step": 0}, {"column": "completion_steps", "index": 0, "step": 1},
         {"column": "completion_steps", "index": 1, "step": 0}],
        [{"column": "completion_steps", "index": 0}, {"column": "completion_steps", "index": 1}],
    ),
    "tokens": (
        {"chosen_ids": [1, 10, 11, 2], "rejected_ids": [1, 12, 2]},
        [{"column": "chosen_ids"}, {"column": "rejected_ids"}],
        [{"column": "chosen_ids"}, {"column": "rejected_ids"}],
    ),
    "votes": (
        {"completions": ["One.", "Two."], "votes": [1, 2]},
        [{"column": "completions", "index": 0}, {"column": "completions", "index": 1}],
        [{"column": "completions", "index": 0}, {"column": "completions", "index": 1}],
    ),
    "attributes": (
        {"completion": "One.", "attributes": {"help": 1.0}},
        [{"column": "completion"}],
        [{"column": "completion"}],
    ),
}  # fmt: skip


@pytest.mark.parametrize("stepwise", [True, False])
@pytest.mark.parametrize("name", FORMATS)
def test_every_format_of_training_is_scored(done, chat_tokenizer, context_model, tmp_path, name, stepwise):
    row, by_step, by_text = FORMATS[name]
    if name != "tokens":
        row = {"prompt": "Count. ", **row}
    model = context_model()
    model.save_pretrained(tmp_path / "model")
    chat_tokenizer.save_pretrained(tmp_path / "model")
    segmentation = "sentences" if stepwise else None
    describe_model(bradley_terry, [], model, chat_tokenizer, segmentation=segmentation).save(tmp_path / "model")
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    result = done("score", "--model", tmp_path / "model", "--dataset", tmp_path / "rows.jsonl")
    lines = [json.loads(line) for line in result.out.splitlines()]
    scores = [line.pop("score") for line in lines]
    assert lines == [{"row": 0} | place for place in (by_step if stepwise else by_text)]
    assert all(isinstance(score, float) for score in scores)
    scorer = Scorer.from_pretrained(tmp_path / "model")
    if name == "tokens":
        assert scores[0] == pytest.approx(scorer.score_texts([Encoded([1, 10, 11, 2], (3,))])[0], abs=1e-6)
    if name == "chosen_steps" and stepwise:
        assert scores[:2] == pytest.approx(scorer.score_steps("Count. ", ["One. ", "Two."]), abs=1e-6)


def test_unjudged_steps_are_in_the_text_and_in_no_metric(chat_tokenizer, context_model, tmp_path):
    judged = {"prompt": "Count. ", "completions": ["One. ", "Two. ", "Five. "], "labels": [1.0, 1.0, 0.0]}
    partly = judged | {"labels": [1.0, None, -100.0]}
    scorer = Scorer(context_model(), chat_tokenizer)
    scores = scorer.score_steps("Count. ", judged["completions"])
    objective = segment_rating + 0.5 * score_decay
    args = {"max_length": None, "loss": str(objective), "layout": "padded"}
    trainer = trainer_of([partly, judged], context_model(), chat_tokenizer, tmp_path, **args)
    used = [scores[0], *scores]
    errors = [(score - label) ** 2 for score, label in zip(used, [1.0, 1.0, 1.0, 0.0], strict=True)]
    decay = sum(score**2 for score in used) / 4
    metrics = evaluate(scorer, Dataset.from_list([partly, judged]), objective)
    assert metrics["mean_score"] == pytest.approx(sum(used) / 4, abs=1e-6)
    own = trainer.evaluate()
    assert own["eval_mean_reward"] == pytest.approx(sum(used) / 4, abs=1e-6)
    assert own["eval_loss/segment_rating"] == pytest.approx(sum(errors) / 4, abs=1e-6)
    assert own["eval_loss/score_decay"] == pytest.approx(decay, abs=1e-6)
    assert metrics["loss"] == pytest.approx(own["eval_loss"], abs=1e-6)


NULLS = [
    ({"completion": None}, [(None, False)]),
    ({"chosen": "a", "rejected": None}, [("chosen", True), ("rejected", False)]),
    ({"completions": ["a", None, "b"], "labels": [1, 0, 1]}, [("completions", False)]),
    ({"completions": []}, [(None, False)]),
    ({"chosen_steps": [], "rejected_steps": ["c", None]}, [("chosen_steps", False), ("rejected_steps", False)]),
    ({"chosen_ids": [], "rejected_ids": [5]}, [(None, False)]),
    ({"completions": "abc", "ranks": [1, 2, 3]}, [(None, False)]),
]


@pytest.mark.parametrize("overlong", ["drop", "error"])
@pytest.mark.parametrize(("row", "expected"), NULLS)
def test_a_text_that_is_missing_has_a_line_with_the_problem(
    cli, chat_tokenizer, context_model, tmp_path, row, expected, overlong
):
    context_model().save_pretrained(tmp_path / "model")
    chat_tokenizer.save_pretrained(tmp_path / "model")
    rows = [{"prompt": "Count. ", **row}]
    Dataset.from_list(rows).to_parquet(tmp_path / "rows.parquet")
    result = cli("score", "--model", tmp_path / "model", "--dataset", tmp_path / "rows.parquet", "--overlong", overlong)
    assert result.code == 0
    lines = [json.loads(line) for line in result.out.splitlines()]
    assert [(line.get("column"), line["score"] is not None) for line in lines] == [
        (column, scored) for column, scored in expected
    ]
    assert all(("problem" in line) != (line["score"] is not None) for line in lines)


def test_converted_rows_have_the_row_of_the_file(done, chat_tokenizer, context_model, tmp_path):
    """Each row gives the rows of two solutions, also the one without verdicts."""
    context_model().save_pretrained(tmp_path / "model")
    chat_tokenizer.save_pretrained(tmp_path / "model")
    row = {"problem": "2 + 2?", "generations": ["4", "5"]}
    rows = [row | {"correctness": verdicts} for verdicts in ([True, False], None, [False, True])]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    lines = done("score", "--model", tmp_path / "model", "--dataset", tmp_path / "rows.jsonl").out.splitlines()
    assert [(json.loads(line)["row"], json.loads(line)["item"]) for line in lines] == [
        (number, item) for number in range(3) for item in range(2)
    ]


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        ({"system": "be nice"}, "`system` has the type str"),
        ({"chat_template_kwargs": {"mood": "sad"}}, "`chat_template_kwargs` has the type dict"),
        ({"tools": [TOOLS]}, "`tools` has 1 entries for 2 completions"),
    ],
)
def test_template_arguments_need_one_entry_per_completion(chat_tokenizer, context_model, columns, problem):
    scorer = Scorer(context_model(), chat_tokenizer)
    with pytest.raises(InvalidArgumentError, match=problem):
        scorer([PAIR["prompt"]] * 2, [PAIR["chosen"]] * 2, **columns)
