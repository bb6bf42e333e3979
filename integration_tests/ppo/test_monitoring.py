"""What people are told: the self-check at the start, and where the time went at the end."""

import pytest
from peft import LoraConfig
from ppo_runs import length, steps, trained

from rlhf_losses.scoring import RewardModelMetadata, Scorer


def test_the_first_rollout_is_explained(make_trainer, reward_model, tokenizer, capsys):
    scorer = Scorer(reward_model, tokenizer)
    trainer = make_trainer([scorer, length], changes={"num_iterations": 2, "max_steps": 4})
    trainer._generate_single_turn = lambda prompt_ids, *_: ([[72, 105, 2]] * len(prompt_ids), None)
    trained(trainer)
    told = capsys.readouterr().out
    assert told.count("PPO self-check") == 1
    assert "The policy reads 260 tokens and ends with '<eos>'; padding is '<pad>'." in told
    assert "reward_model reads the policy's tokens; the chat templates are the same." in told
    shown = [line.split(". ", 1)[1] for line in told.splitlines() if line.startswith(("    1. ", "    2. "))]
    assert len(shown) == 2
    assert all("<eos>[+" in line and line.count("[") == 1 for line in shown)
    assert "In the first epoch the ratio is 1.000000 and the approximate KL 0.000000: ok" in told


def test_rewards_of_steps_are_shown_where_they_are_paid(make_trainer, reward_model, tokenizer, capsys):
    from rlhf_losses.ppo import StepRewards

    scorer = Scorer(reward_model, tokenizer, RewardModelMetadata("segment_hinge", ["Steps"], segmentation="sentences"))
    trainer = make_trainer(StepRewards(scorer), changes={"max_steps": 1, "max_completion_length": 16})
    ids = [*tokenizer("Go on. Stop!", add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
    trainer._generate_single_turn = lambda prompt_ids, *_: ([ids] * len(prompt_ids), None)
    trained(trainer)
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("    1. "))
    assert line.count("[") == 2
    assert "Go on.[" in line
    assert "] Stop!<eos>[" in line


def test_another_tokenizer_and_another_template_are_told(make_trainer, reward_model, other_tokenizer, capsys):
    other_tokenizer.chat_template = "{{ messages }}"
    other_tokenizer.add_tokens(["<more>"])
    vocabulary = other_tokenizer.get_vocab()
    assert len(vocabulary) == 261
    scorer = Scorer(reward_model, other_tokenizer)
    trained(make_trainer(scorer, changes={"max_steps": 1}))
    assert "the chat templates differ" in capsys.readouterr().out


def test_a_policy_that_reads_otherwise_than_it_writes_is_noticed(make_trainer, capsys):
    trainer = make_trainer(changes={"num_iterations": 2, "max_steps": 1})
    generate = trainer._generate_and_score_completions

    def with_other_logps(inputs):
        rollout = generate(inputs)
        rollout["old_per_token_logps"] -= 0.1
        return rollout

    trainer._generate_and_score_completions = with_other_logps
    trained(trainer)
    assert "NOT OK, it should be 1 and 0." in capsys.readouterr().out


def test_without_the_self_check_nothing_is_told(make_trainer, capsys):
    trained(make_trainer(changes={"sanity_check": False, "max_steps": 1}))
    assert "self-check" not in capsys.readouterr().out


@pytest.mark.parametrize("peft_config", [None, LoraConfig(r=4, target_modules=["q_proj"])], ids=["full", "lora"])
def test_the_time_of_a_step_is_told_by_phase(make_trainer, capsys, peft_config):
    changes = {"log_phase_times": True, "num_iterations": 2, "max_steps": 3}
    trainer = trained(make_trainer(changes=changes, peft_config=peft_config))
    told = capsys.readouterr().out
    phases = {"generation", "scoring", "reference", "policy", "critic", "rollout", "update"}
    assert all(f"  {phase} " in told for phase in phases)
    first, again, _ = steps(trainer)
    assert {name.removeprefix("time/") for name in first if name.startswith("time/")} == phases
    assert sum(first[f"time/{phase}"] for phase in phases) == pytest.approx(1)
    assert again["time/update"] == pytest.approx(1)
