"""Model cards are written for every loss, and the Hub's own reader accepts their metadata."""

import math
import re
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard, ModelCardData
from huggingface_hub.repocard_data import model_index_to_eval_results
from peft import LoraConfig, get_peft_model
from tiny_llama import tiny_classifier

from rlhf_losses.cards.described_loss import described_terms, meaning_of_scores
from rlhf_losses.cards.held_out_table import HeldOutSet, Result, length_sentence
from rlhf_losses.cards.origins import Origin, licence_sentence, origin_of_dataset, origin_of_model
from rlhf_losses.cards.provenance import reproducing_command
from rlhf_losses.cards.reward_model_card import RewardModelCard, add_results
from rlhf_losses.cards.run_description import trained_weights
from rlhf_losses.evaluation.intervals import Estimate
from rlhf_losses.evaluation.length_dependence import LengthDependence
from rlhf_losses.hooks import loss_registry
from rlhf_losses.messages.documentation import documentation

REGISTRY = loss_registry()
RESULTS = HeldOutSet(
    "held_out.jsonl", 20, 1, (Result("accuracy", 0.75, (0.6, 0.9)), Result("loss", 0.5)), ("Length: 0.",)
)


def card(**changes) -> RewardModelCard:
    plain = {
        "name": "my-model",
        "terms": described_terms(REGISTRY.parse("bradley_terry + 0.01 * centering")),
        "base": Origin("org/base", "org/base", "apache-2.0"),
        "architecture": "LlamaForSequenceClassification",
        "is_adapter": False,
        "is_checkpoint": False,
        "trained": "LoRA adapters of rank 16",
        "dataset": Origin("org/pairs", "org/pairs", None),
        "data": ["10 of 12 rows were used. The others are too long."],
        "reads": "text",
        "scores_steps": False,
        "writes_bos": False,
        "scale": ["The zero is arbitrary."],
        "held_out": (RESULTS,),
        "settings": {"learning_rate": 1e-4},
        "versions": {"trl": "1.16.0"},
    }
    return RewardModelCard(**plain | changes)


def data_of(folder: Path) -> ModelCardData:
    """Return the metadata as the Hub's library reads them, with an error for what it does not accept."""
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert yaml.safe_load(text.split("---")[1])
    return ModelCard(text, ignore_metadata_errors=False).data


def test_the_metadata_of_the_hub_name_base_data_and_results(tmp_path):
    card().write(tmp_path)
    data = data_of(tmp_path)
    assert (data.base_model, data.datasets, data.license) == ("org/base", ["org/pairs"], "apache-2.0")
    assert (data.pipeline_tag, data.library_name) == ("text-classification", "transformers")
    assert {"reward-model", "rlhf-losses", "trl"} <= set(data.tags)
    assert [(one.metric_type, one.metric_value, one.dataset_name) for one in data.eval_results] == [
        ("accuracy", 0.75, "held_out.jsonl"), ("loss", 0.5, "held_out.jsonl")
    ]  # fmt: skip


def test_local_bases_and_data_have_names_but_no_links(tmp_path):
    (tmp_path / "my base").mkdir()
    (tmp_path / "my base" / "README.md").write_text("---\nlicense: mit\n---\n# Base\n")
    base, data = origin_of_model(str(tmp_path / "my base")), origin_of_dataset(str(tmp_path / "pairs.jsonl"))
    assert (base, data) == (Origin("my base", None, "mit"), Origin("pairs.jsonl", None, None))
    card(base=base, dataset=data).write(tmp_path)
    text, found = (tmp_path / "README.md").read_text(), data_of(tmp_path)
    assert (found.base_model, found.datasets, found.license) == (None, None, "mit")
    assert "`my base` (local)" in text
    assert "`pairs.jsonl` (local)" in text
    assert str(tmp_path) not in text


def test_a_model_without_a_known_licence_says_so(tmp_path):
    assert "grants none" in licence_sentence(None, None)
    assert "apache-2.0" in licence_sentence(Origin("org/base", "org/base", "apache-2.0"), None)
    card(base=None, dataset=None, held_out=(), versions={}).write(tmp_path)
    assert data_of(tmp_path).license is None
    assert "was not evaluated" in (tmp_path / "README.md").read_text()


@pytest.mark.parametrize("name", sorted(REGISTRY.entries))
def test_every_loss_has_a_formula_and_a_page(name):
    (term,) = described_terms(REGISTRY.parse(name))
    assert term.formula
    assert term.summary.endswith(".")
    page = Path(__file__).parents[2] / "docs" / term.link.removeprefix(documentation(""))
    assert page.is_file()
    assert len(meaning_of_scores(REGISTRY.parse(name))) == 2
    assert term.formula in str(card(terms=[term]).render())


def test_the_zero_of_scores_is_arbitrary_for_differences_only():
    assert "arbitrary" in meaning_of_scores(REGISTRY.parse("bradley_terry"))[0]
    assert "arbitrary" not in meaning_of_scores(REGISTRY.parse("bradley_terry + 0.01 * centering"))[0]
    assert "training data determine the scale" in meaning_of_scores(REGISTRY.parse("squared_error"))[1]


@pytest.mark.parametrize("changes", [{}, {"reads": "conversation"}, {"is_adapter": True}, {"scores_steps": True},
                                     {"reads": "conversation", "writes_bos": True}], ids=str)  # fmt: skip
def test_code_blocks_are_valid(changes):
    text = str(card(**changes).render())
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) >= 3
    for block in blocks:
        compile(block, "README.md", "exec")
    assert "{{" not in text
    assert "{%" not in text


def test_results_replace_earlier_ones_and_keep_the_rest(tmp_path):
    card().write(tmp_path)
    before = (tmp_path / "README.md").read_text()
    newer = HeldOutSet("other.jsonl", 5, 0, (Result("accuracy", 0.5),))
    for _ in range(2):
        add_results(tmp_path, newer)
    after, data = (tmp_path / "README.md").read_text(), data_of(tmp_path)
    assert "held_out.jsonl" not in after
    assert [one.metric_value for one in data.eval_results] == [0.5]
    assert (data.base_model, data.license) == ("org/base", "apache-2.0")
    assert after.split("## Use")[1] == before.split("## Use")[1]
    assert after.count("<!-- held-out results -->") == 1


def test_results_are_added_to_a_card_of_another_program_or_to_none(tmp_path):
    add_results(tmp_path, RESULTS)
    assert "| Accuracy | 0.750 (0.600 to 0.900) |" in (tmp_path / "README.md").read_text()
    (tmp_path / "README.md").write_text("---\nlicense: mit\ntags: [mine]\n---\n# Mine\n\nText.\n")
    add_results(tmp_path, RESULTS)
    text = (tmp_path / "README.md").read_text()
    assert "# Mine\n\nText." in text
    assert data_of(tmp_path).license == "mit"
    assert model_index_to_eval_results(yaml.safe_load(text.split("---")[1])["model-index"])[1]


def test_a_command_has_no_secrets():
    shown = reproducing_command(["train", "--hub_token=hf_1", "--push-to-hub-token", "hf_2", "--eos_token", "</s>"])
    assert shown == "rlhf-losses train '--hub_token=***' --push-to-hub-token '***' --eos_token '</s>'"


def test_trained_weights_are_named():
    model = tiny_classifier()
    assert trained_weights(model) == "all weights"
    model.model.requires_grad_(False)
    assert trained_weights(model) == "a part of the weights"
    adapters = LoraConfig(task_type="SEQ_CLS", r=2, lora_alpha=3, target_modules=["v_proj", "q_proj"])
    text = trained_weights(get_peft_model(tiny_classifier(), adapters))
    assert text.startswith("LoRA adapters of rank 2 with `lora_alpha` 3 in `q_proj`, `v_proj`, and all weights of")
    assert "`score`" in text


@pytest.mark.parametrize(
    ("partial", "expected"), [(math.nan, "is 0.50 (0.40 to 0.60)."), (0.1, "; at equal annotations")]
)
def test_an_undefined_correlation_is_not_shown(partial, expected):
    length = LengthDependence(Estimate(0.5, 0.4, 0.6, 9), Estimate(partial, math.nan, math.nan, 9))
    text = length_sentence(length, "comparisons")
    assert expected in text
    assert "nan" not in text
