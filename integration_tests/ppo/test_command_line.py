"""`rlhf-losses ppo` with several reward models, with steps, with reference samples, and with one base for all."""

import pytest
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from rlhf_losses.scoring import RewardModelMetadata

FAST = (
    *("--max_steps", 2, "--max_completion_length", 8, "--per_device_train_batch_size", 4, "--use_cpu"),
    *("--report_to", "none", "--disable_tqdm", "True", "--gradient_checkpointing", "False", "--logging_steps", 1),
)


@pytest.fixture
def ppo(cli, write_rows, language_model, tmp_path):
    """Run the command, and return its exit status and what it said."""
    file = write_rows(*({"prompt": f"Say {i}: ", "chosen": f"{i}" * i} for i in range(1, 9)), name="prompts.jsonl")

    def run(*argv, output="policy"):
        model = ["--model", language_model, "--dataset", file, "--output_dir", tmp_path / output]
        answered = cli("ppo", *model, *FAST, *argv)
        return answered.code, answered.out + answered.err

    return run


@pytest.fixture
def make_judge(language_model, tokenizer, tmp_path):
    def make(name, **description):
        model = AutoModelForSequenceClassification.from_pretrained(language_model, num_labels=1)
        model.score.weight.data.normal_()
        model.save_pretrained(tmp_path / name)
        tokenizer.save_pretrained(tmp_path / name)
        RewardModelMetadata("bradley_terry", ["Pairs"], **description).save(tmp_path / name)
        return tmp_path / name

    return make


def test_several_reward_models_are_weighted_or_made_one(ppo, make_judge):
    judges = make_judge("one"), make_judge("two")
    code, said = ppo("--reward_model", *judges, "--reward_weights", 1.0, 0.5)
    assert code == 0, said
    assert "rewards/one/mean" in said
    assert "rewards/two/mean" in said
    code, said = ppo("--reward_model", *judges, "--ensemble", "mean - 0.5 * std", output="ensemble")
    assert code == 0, said
    assert "rewards/mean_of_2/mean" in said
    assert "ensemble/std" in said


def test_a_reward_model_of_steps_pays_at_their_ends_and_one_of_texts_cannot(ppo, make_judge):
    code, said = ppo("--reward_model", make_judge("steps", segmentation="sentences"), "--reward_at", "steps")
    assert code == 0, said
    judge = make_judge("steps in shares", segmentation="sentences")
    code, said = ppo("--reward_model", judge, "--reward_at", "step_mean", output="shares")
    assert code == 0, said
    both = (make_judge("other steps", segmentation="sentences"), make_judge("more steps", segmentation="sentences"))
    code, said = ppo("--reward_model", *both, "--reward_at", "steps", "--ensemble", "minimum", output="ensemble")
    assert code == 0, said
    assert "rewards/minimum_of_2/mean" in said
    code, said = ppo("--reward_model", make_judge("texts"), "--reward_at", "steps", output="other")
    assert code == 2
    assert "'texts' was trained on whole texts" in said
    assert "leave --reward_at out" in said


def test_reference_samples_are_fitted_to_and_stored_with_the_reward_model(ppo, make_judge, tmp_path):
    judge = make_judge("judge")
    code, said = ppo("--reward_model", judge, "--reference_samples", tmp_path / "prompts.jsonl")
    assert code == 0, said
    stored = RewardModelMetadata.load(judge)
    assert stored.reference_std > 0
    code, said = ppo("--reward_model", judge, "--score_normalization", "reference", output="again")
    assert code == 0, said


def test_pretraining_texts_come_with_their_weight(ppo, make_judge, write_rows):
    texts = write_rows(*({"text": f"The fox sang {i} songs."} for i in range(8)), name="texts.jsonl")
    judge = make_judge("judge")
    code, said = ppo("--reward_model", judge, "--ptx_dataset", texts, "--ptx_coef", 0.1)
    assert code == 0, said
    assert "loss/pretraining" in said
    for one, other in (("--ptx_dataset", "--ptx_coef"), ("--ptx_coef", "--ptx_dataset")):
        code, said = ppo("--reward_model", judge, one, {"--ptx_dataset": texts, "--ptx_coef": 0.1}[one], output="no")
        assert code == 2
        assert f"{one} came without {other}, but a pretraining loss needs texts and a weight. Give both" in said


def test_four_roles_share_one_base(ppo, done_training, language_model, tmp_path):
    code, said = ppo("--reward_model", done_training / "checkpoint-2", "--share_base", "--save_strategy", "no")
    assert code == 0, said
    AutoModelForCausalLM.from_pretrained(tmp_path / "policy")
    code, said = ppo("--reward_model", done_training, "--share_base", output="merged")
    assert code == 2
    assert "have their adapter merged" in said.replace("\n", " ")
    code, said = ppo("--reward_model", done_training / "checkpoint-2", "--share_base", "--no_use_peft", output="full")
    assert code == 2
    assert "--share_base and --no_use_peft came" in said


@pytest.fixture
def done_training(done, language_model, pairs, tmp_path):
    pairs.remove_columns("margin").to_json(tmp_path / "pairs.jsonl")
    words = ["--model", language_model, "--dataset", tmp_path / "pairs.jsonl", "--max_steps", 2, "--use_cpu"]
    done("train", *words, "--output_dir", tmp_path / "reward", "--report_to", "none", "--disable_tqdm", "True")
    return tmp_path / "reward"
