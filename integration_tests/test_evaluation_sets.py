"""Evaluation of one or several datasets, in memory or streamed: each set has its own metrics, over all its items."""

import pytest
from datasets import Dataset
from ragged import ragged_lists, ragged_steps, run_in_processes
from sklearn.metrics import balanced_accuracy_score, f1_score, roc_auc_score
from thorough_cases import each_value, with_thorough

from rlhf_losses import RewardConfig, RewardTrainer, Scorer
from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.losses import step_cross_entropy
from rlhf_losses.scoring import evaluate

PAIR = {"prompt": "Say it. ", "chosen": "Yes.", "rejected": "No."}


def labelled_answers() -> Dataset:
    """Return labels, of which a quarter are 0.5, a quarter 0.8 and a quarter 0."""
    return Dataset.from_list(
        [
            {"prompt": f"{i}? ", "completion": "yes" * (1 + i * i % 5), "label": [0.5, 0.8, 0.0, 1.0][i % 4]}
            for i in range(16)
        ]
    )


def evaluated(model, settings, evaluation, train=None, loss="bradley_terry", **changes):
    trainer = RewardTrainer(
        model, RewardConfig(**settings(**changes)), train_dataset=train, eval_dataset=evaluation, loss=loss
    )
    return trainer, trainer.evaluate()


def test_named_sets_have_the_metrics_that_each_has_alone(language_model, pairs, settings):
    sets = {"easy": pairs.select(range(6)), "hard": pairs.select(range(6, 16)).to_iterable_dataset()}
    _, together = evaluated(language_model, settings, sets, pairs)
    for name, data in sets.items():
        _, alone = evaluated(language_model, settings, data, pairs)
        for metric in ("loss", "loss/bradley_terry", "accuracy", "margin", "mean_reward", "max_reward", "num_tokens"):
            assert together[f"eval_{name}_{metric}"] == pytest.approx(alone[f"eval_{metric}"], abs=1e-6), metric
    assert not {name for name in together if not name.startswith(("eval_easy_", "eval_hard_"))} - {"epoch"}


def comparisons(form: str) -> Dataset:
    """Return the preference for a short answer over a longer one, for five prompts, in one of several forms."""
    rows = []
    for i in range(5):
        prompt, better, worse = f"{i}? ", "Yes.", "No" + "!" * i
        rows.append(
            {
                "pairs": {"prompt": prompt, "chosen": better, "rejected": worse},
                "rankings": {"prompt": prompt, "completions": [worse, better], "ranks": [2, 1]},
                "ratings": {"prompt": prompt, "completions": [worse, better], "ratings": [0.1, 0.7]},
                "votes": {"prompt": prompt, "completions": [better, worse], "votes": [3, 0]},
            }[form]
        )
    return Dataset.from_list(rows)


@pytest.mark.upstream
@pytest.mark.parametrize(
    ("train", "form"),
    with_thorough([("pairs", "votes"), ("rankings", "pairs")], [("pairs", "rankings"), ("pairs", "ratings")]),
)
def test_evaluation_data_may_have_another_feedback_type_than_training_data(language_model, settings, train, form):
    expected = evaluated(language_model, settings, comparisons("pairs"), comparisons("pairs"))[1]
    data = comparisons(form)
    sets = {"rows": data, "stream": data.to_iterable_dataset(num_shards=2), "same": comparisons(train)}
    changes = {"eval_strategy": "steps", "eval_steps": 1, "max_steps": 2, "learning_rate": 0.0}
    trainer, named = evaluated(language_model, settings, sets, comparisons(train), **changes)
    alone, stream = trainer.evaluate(data), trainer.evaluate(data.to_iterable_dataset())
    trainer.train()
    logged = {name: value for entry in trainer.state.log_history for name, value in entry.items()}
    for metric in ("loss", "loss/bradley_terry", "accuracy", "margin"):
        for found in (named, logged):
            assert [found[f"eval_{name}_{metric}"] for name in sets] == pytest.approx([expected[f"eval_{metric}"]] * 3)
        assert alone[f"eval_{metric}"] == stream[f"eval_{metric}"] == pytest.approx(expected[f"eval_{metric}"])


def test_the_best_model_is_chosen_by_the_metric_of_one_set(language_model, pairs, settings):
    changes = {
        "eval_strategy": "steps",
        "eval_steps": 1,
        "save_strategy": "steps",
        "save_steps": 1,
        "load_best_model_at_end": True,
        "metric_for_best_model": "eval_b_accuracy",
        "max_steps": 4,
        "learning_rate": 1e-2,
    }
    sets = {"a": pairs.select(range(4)), "b": pairs}
    trainer = RewardTrainer(language_model, RewardConfig(**settings(**changes)), train_dataset=pairs, eval_dataset=sets)
    trainer.train()
    logged = [entry["eval_b_accuracy"] for entry in trainer.state.log_history if "eval_b_accuracy" in entry]
    assert len(logged) == 4
    assert trainer.state.best_metric == max(logged)
    assert trainer.evaluate()["eval_b_accuracy"] == pytest.approx(max(logged))


def test_a_prefix_and_a_prediction_name_their_metrics(language_model, pairs, settings):
    trainer, measured = evaluated(language_model, settings, pairs, pairs)
    held_out = trainer.evaluate(metric_key_prefix="held_out")
    predicted = trainer.predict(trainer.eval_dataset).metrics
    for name in ("loss", "accuracy", "margin"):
        assert held_out[f"held_out_{name}"] == predicted[f"test_{name}"] == measured[f"eval_{name}"]


def test_nothing_of_an_evaluation_is_in_the_log_of_training(language_model, pairs, settings):
    changes = {"eval_strategy": "steps", "eval_steps": 1}
    trainer = RewardTrainer(
        language_model, RewardConfig(**settings(**changes)), train_dataset=pairs, eval_dataset={"a": pairs}
    )
    trainer.train()
    for entry in trainer.state.log_history:
        names = [name for name in entry if name.startswith("eval")]
        assert not names or {"eval_a_loss", "eval_a_accuracy"} <= set(names)
        assert all(name.startswith("eval_a_") for name in names)


def test_soft_labels_count_the_same_in_every_batch_size(language_model, settings):
    data = labelled_answers()
    found = [
        evaluated(language_model, settings, data, data, "cross_entropy", per_device_eval_batch_size=size)[1]
        for size in (1, 3, 16)
    ]
    names = [f"eval_{name}" for name in ("accuracy", "base_rate", "balanced_accuracy", "auc", "f1", "negative_f1")]
    for other in found[1:]:
        assert [other[name] for name in names] == pytest.approx([found[0][name] for name in names])
    assert found[0]["eval_base_rate"] == 8 / 12  # without the labels of 0.5


def test_metrics_of_labels_equal_those_of_scikit_learn_in_training_and_evaluate(language_model, settings, tmp_path):
    """Also with one label per batch, of which no batch has an area under the curve."""
    data = labelled_answers().filter(lambda row: row["label"] != 0.5)
    changes = {"per_device_train_batch_size": 1, "logging_steps": 12, "max_steps": 12, "learning_rate": 0.0}
    trainer, measured = evaluated(
        language_model, settings, data, data, "cross_entropy", per_device_eval_batch_size=1, **changes
    )
    trainer.train()
    (logged,) = [entry for entry in trainer.state.log_history if "auc" in entry]
    trainer.save_model(tmp_path / "model")
    scorer = Scorer.from_pretrained(tmp_path / "model")
    scores, labels = scorer(data["prompt"], data["completion"]), [label > 0.5 for label in data["label"]]
    predicted = [score > 0 for score in scores]
    expected = {
        "accuracy": sum(map(bool.__eq__, predicted, labels)) / len(labels),
        "base_rate": max(sum(labels), len(labels) - sum(labels)) / len(labels),
        "balanced_accuracy": balanced_accuracy_score(labels, predicted),
        "auc": roc_auc_score(labels, scores),
        "negative_f1": f1_score(labels, predicted, pos_label=False),
    }
    again = evaluate(scorer, data)
    for name, value in expected.items():
        assert measured[f"eval_{name}"] == pytest.approx(value), name
        assert logged[name] == pytest.approx(value), name
        assert again[name] == pytest.approx(value), name


def test_rated_steps_have_no_metrics_of_labels(language_model, settings, tmp_path):
    data = ragged_steps()
    trainer, rated = evaluated(language_model, settings, data, data, "segment_rating")
    _, labelled = evaluated(language_model, settings, data, data, "step_cross_entropy")
    assert not {"eval_accuracy", "eval_auc", "eval_processbench_error"} & rated.keys()
    assert {"eval_accuracy", "eval_auc", "eval_processbench_error"} <= labelled.keys()
    trainer.save_model(tmp_path / "model")
    scorer = Scorer.from_pretrained(tmp_path / "model")
    assert "accuracy" not in evaluate(scorer, data)  # the model was trained with ratings
    assert "accuracy" in evaluate(scorer, data, loss=step_cross_entropy)


@pytest.mark.upstream
@pytest.mark.parametrize(
    ("train", "accelerator"),
    each_value(["stream", "dataset"], [{}, {"split_batches": True}, {"dispatch_batches": True}]),
    ids=str,
)
def test_a_stream_is_evaluated_like_a_dataset(language_model, pairs, settings, train, accelerator):
    training_data = pairs if train == "dataset" else pairs.to_iterable_dataset()
    sets = {"stream": pairs.to_iterable_dataset(num_shards=3), "rows": pairs}
    changes = {"accelerator_config": accelerator, "eval_strategy": "steps", "eval_steps": 3}
    trainer = RewardTrainer(
        language_model, RewardConfig(**settings(**changes)), train_dataset=training_data, eval_dataset=sets
    )
    trainer.train()
    measured = trainer.evaluate()
    direct = trainer.evaluate(pairs.to_iterable_dataset())
    for name in ("loss", "accuracy", "margin", "mean_reward"):
        assert measured[f"eval_stream_{name}"] == pytest.approx(measured[f"eval_rows_{name}"], rel=1e-5), name
        assert direct[f"eval_{name}"] == pytest.approx(measured[f"eval_rows_{name}"], rel=1e-5), name


INVALID = {
    "an empty text": {"prompt": "", "chosen": "", "rejected": "No."},
    "a margin": PAIR | {"margin": float("nan")},
    "a preference": PAIR | {"preference": 1.5},
}


@pytest.mark.parametrize("use", ["train", "eval", "evaluate"])
@pytest.mark.parametrize("kind", INVALID)
def test_every_row_of_a_stream_is_checked(language_model, settings, kind, use):
    row = {"margin": 0.0, "preference": 1.0} | INVALID[kind]
    good = Dataset.from_list([PAIR | {"margin": 0.0, "preference": 1.0}] * 7)
    stream = Dataset.from_list([*good, row, *good]).to_iterable_dataset()
    trainer = RewardTrainer(
        language_model,
        RewardConfig(**settings(max_steps=8)),
        train_dataset=stream if use == "train" else good,
        eval_dataset=stream if use == "eval" else None,
    )
    run = {"train": trainer.train, "eval": trainer.evaluate, "evaluate": lambda: trainer.evaluate(stream)}[use]
    with pytest.raises(InvalidFeedbackError, match=f"Row 7 of {'train' if use == 'train' else 'eval'} data: "):
        run()


def test_the_values_of_a_stream_are_checked_for_the_loss(language_model, settings):
    data = labelled_answers()
    stream = Dataset.from_list([*data, {**data[0], "label": -1.0}]).to_iterable_dataset()
    trainer = RewardTrainer(
        language_model, RewardConfig(**settings()), train_dataset=data, eval_dataset=stream, loss="cross_entropy"
    )
    with pytest.raises(InvalidFeedbackError, match=r"Row 16 of eval data: cross_entropy received the label -1"):
        trainer.evaluate()


def test_a_dataset_given_to_evaluate_is_checked(language_model, pairs, settings):
    trainer = RewardTrainer(language_model, RewardConfig(**settings()), train_dataset=pairs)
    with pytest.raises(InvalidFeedbackError, match="Row 1 of eval data: A text is empty"):
        trainer.evaluate(Dataset.from_list([PAIR, PAIR | {"prompt": "", "chosen": " "}]))


def test_a_stream_of_which_no_row_is_left_is_refused(language_model, pairs, settings, caplog):
    stream = Dataset.from_list([PAIR | {"chosen": "Yes. " * 50}]).to_iterable_dataset()
    trainer = RewardTrainer(
        language_model, RewardConfig(**settings(max_length=60)), train_dataset=pairs, eval_dataset=stream
    )
    with pytest.raises(InvalidFeedbackError, match="no row is left"):
        trainer.evaluate()
    assert "Row 0 of eval data: 1 of 1 rows have a text longer than 60 tokens" in caplog.text


SCRIPT = """
import json, sys, torch
from datasets import load_from_disk
from rlhf_losses import RewardConfig, RewardTrainer

model, folder, out = sys.argv[1:]
found = {}
for name, loss in (("lists", "plackett_luce"), ("steps", "segment_hinge")):
    rows = load_from_disk(f"{folder}/{name}").select(range(9))
    trainer = RewardTrainer(
        model,
        RewardConfig(
            out, per_device_eval_batch_size=2, report_to="none", bf16=False, gradient_checkpointing=False,
            use_cpu=True, disable_tqdm=True, ddp_backend="gloo", seed=7,
        ),
        train_dataset=rows,
        eval_dataset={"rows": rows, "stream": rows.to_iterable_dataset(num_shards=2)},
        loss=loss,
    )
    found[name] = trainer.evaluate()
if trainer.is_world_process_zero():
    print("RESULT" + json.dumps(found), flush=True)
"""


def test_two_processes_measure_every_row_of_a_stream_once(language_model, settings, tmp_path):
    """The shards of the stream have different numbers of rows, and the last batch is not full."""
    data = {"lists": (ragged_lists(), "plackett_luce"), "steps": (ragged_steps(), "segment_hinge")}
    for name, (rows, _) in data.items():
        rows.save_to_disk(tmp_path / name)
    together = run_in_processes(SCRIPT, tmp_path, 2, language_model, str(tmp_path), str(tmp_path / "out"))
    for kind, (rows, loss) in data.items():
        _, alone = evaluated(language_model, settings, rows.select(range(9)), rows, loss)
        names = [name for name in alone if not name.endswith(("runtime", "second", "time", "epoch", "_reward"))]
        assert {"eval_auc", "eval_processbench_error"} <= set(names) or kind == "lists"
        for name in names:
            for part in ("rows", "stream"):
                measured = together[kind][name.replace("eval_", f"eval_{part}_")]
                assert measured == pytest.approx(alone[name], rel=1e-4, abs=1e-6), (kind, part, name)
