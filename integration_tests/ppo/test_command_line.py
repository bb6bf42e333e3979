"""`rlhf-losses ppo` with several reward models, step rewards, reference samples, and one base for all models."""

import pytest
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from rlhf_losses import FeedbackMismatchError, InvalidFeedbackError
from rlhf_losses.cli.ppo import select_prompts
from rlhf_losses.scoring import RewardModelMetadata

FAST = (
    *("--max_steps", 2, "--max_completion_length", 8, "--per_device_train_batch_size", 4, "--use_cpu"),
    *("--report_to", "none", "--disable_tqdm", "True", "--gradient_checkpointing", "False", "--logging_steps", 1),
)


@pytest.fixture
def ppo(cli, write_rows, language_model, tmp_path):
    """Run the command, and return its exit status and its output."""
    file = write_rows(*({"prompt": f"Say {i}: ", "chosen": f"{i}" * i} for i in range(1, 9)), name="prompts.jsonl")

    def run(*argv, output="policy"):
        model = ["--model", language_model, "--dataset", file, "--output_dir", tmp_path / output]
        result = cli("ppo", *model, *FAST, *argv)
        return result.code, result.out + result.err

    return run


@pytest.fixture
def make_reward_model(language_model, tokenizer, tmp_path):
    def make(name, **metadata):
        model = AutoModelForSequenceClassification.from_pretrained(language_model, num_labels=1)
        model.score.weight.data.normal_()
        model.save_pretrained(tmp_path / name)
        tokenizer.save_pretrained(tmp_path / name)
        RewardModelMetadata("bradley_terry", ["Pairs"], **metadata).save(tmp_path / name)
        return tmp_path / name

    return make


def test_several_reward_models_are_weighted_or_combined(ppo, make_reward_model):
    models = make_reward_model("one"), make_reward_model("two")
    code, output = ppo("--reward_model", *models, "--reward_weights", 1.0, 0.5)
    assert code == 0, output
    assert "rewards/one/mean" in output
    assert "rewards/two/mean" in output
    code, output = ppo("--reward_model", *models, "--ensemble", "mean - 0.5 * std", output="ensemble")
    assert code == 0, output
    assert "rewards/mean_of_2/mean" in output
    assert "ensemble/std" in output


def test_reward_at_step_needs_a_reward_model_of_steps(ppo, make_reward_model):
    code, output = ppo("--reward_model", make_reward_model("steps", segmentation="sentences"), "--reward_at", "step")
    assert code == 0, output
    model = make_reward_model("mean of steps", segmentation="sentences")
    code, output = ppo("--reward_model", model, "--reward_at", "step_mean", output="mean")
    assert code == 0, output
    both = [make_reward_model(name, segmentation="sentences") for name in ("other steps", "more steps")]
    code, output = ppo("--reward_model", *both, "--reward_at", "step", "--ensemble", "minimum", output="ensemble")
    assert code == 0, output
    assert "rewards/minimum_of_2/mean" in output
    code, output = ppo("--reward_model", make_reward_model("texts"), "--reward_at", "step", output="other")
    assert code == 2
    assert "'texts' was trained on whole texts" in output
    assert "use --reward_at completion" in output


def test_reference_samples_are_stored_with_the_reward_model(ppo, make_reward_model, tmp_path):
    model = make_reward_model("reward")
    code, output = ppo("--reward_model", model, "--reference_samples", tmp_path / "prompts.jsonl")
    assert code == 0, output
    stored = RewardModelMetadata.load(model)
    assert stored.transforms["standardize"]["std"] > 0
    code, output = ppo("--reward_model", model, "--score_normalization", "reference", output="again")
    assert code == 0, output


def test_pretraining_texts_need_a_weight_and_the_reverse(ppo, make_reward_model, write_rows):
    texts = write_rows(*({"text": f"The fox sang {i} songs."} for i in range(8)), name="texts.jsonl")
    model = make_reward_model("reward")
    code, output = ppo("--reward_model", model, "--ptx_dataset", texts, "--ptx_coef", 0.1)
    assert code == 0, output
    assert "loss/pretraining" in output
    for given, missing in (("--ptx_dataset", "--ptx_coef"), ("--ptx_coef", "--ptx_dataset")):
        value = {"--ptx_dataset": texts, "--ptx_coef": 0.1}[given]
        code, output = ppo("--reward_model", model, given, value, output="no")
        assert code == 2
        assert given in output
        assert missing in output


def test_all_models_share_one_base(ppo, done_training, language_model, tmp_path):
    code, output = ppo("--reward_model", done_training / "checkpoint-2", "--share_base", "--save_strategy", "no")
    assert code == 0, output
    AutoModelForCausalLM.from_pretrained(tmp_path / "policy")
    code, output = ppo("--reward_model", done_training, "--share_base", output="merged")
    assert code == 2
    assert "has its adapter merged" in output.replace("\n", " ")
    code, output = ppo("--reward_model", done_training / "checkpoint-2", "--share_base", "--no_use_peft", output="full")
    assert code == 2
    assert "--share_base and --no_use_peft exclude each other" in output


@pytest.mark.parametrize("streaming", [False, True])
def test_the_prompt_of_conversations_is_what_they_share(streaming):
    question = [{"role": "user", "content": "2 + 2 ="}]
    pair = {
        name: [*question, {"role": "assistant", "content": text}] for name, text in (("chosen", "4"), ("rejected", "5"))
    }
    data = Dataset.from_list([pair, pair])
    data = data.to_iterable_dataset() if streaming else data
    assert list(select_prompts(data)) == [{"prompt": question}] * 2
    other = {**pair, "rejected": [{"role": "user", "content": "3 + 3 ="}, pair["rejected"][1]]}
    with pytest.raises(InvalidFeedbackError, match="Row 1 has no prompt"):
        list(select_prompts(Dataset.from_list([pair, other])))
    with pytest.raises(FeedbackMismatchError, match="no column 'prompt'"):
        select_prompts(Dataset.from_list([{"chosen": "4", "rejected": "5"}]))


@pytest.fixture
def done_training(done, language_model, pairs, tmp_path):
    pairs.remove_columns("margin").to_json(tmp_path / "pairs.jsonl")
    arguments = ["--model", language_model, "--dataset", tmp_path / "pairs.jsonl", "--max_steps", 2, "--use_cpu"]
    arguments += ["--loss", "bradley_terry"]
    done("train", *arguments, "--output_dir", tmp_path / "reward", "--report_to", "none", "--disable_tqdm", "True")
    return tmp_path / "reward"
