"""Output of a training: the sanity check at the start, and the times of phases."""

import pytest
from peft import LoraConfig
from ppo_runs import length, steps, trained

from rlhf_losses.scoring import Scorer


def test_sanity_check_prints_the_first_rollout(make_trainer, reward_model, tokenizer, capsys):
    scorer = Scorer(reward_model, tokenizer)
    trainer = make_trainer([scorer, length], changes={"num_iterations": 2, "max_steps": 4})
    trainer._generate_single_turn = lambda prompt_ids, *_: ([[72, 105, 2]] * len(prompt_ids), None)
    trained(trainer)
    printed = capsys.readouterr().out
    assert printed.count("PPO sanity check") == 1
    assert "Policy: 260 tokens, EOS '<eos>', padding '<pad>'." in printed
    assert "reward_model: same token ids as the policy; same chat template." in printed
    shown = [line.split(". ", 1)[1] for line in printed.splitlines() if line.startswith(("    1. ", "    2. "))]
    assert len(shown) == 2
    assert all("<eos>[+" in line and line.count("[") == 1 for line in shown)
    assert "First PPO epoch: ratio 1.000000, approximate KL 0.000000: ok" in printed


def test_sanity_check_detects_different_log_probabilities(make_trainer, capsys):
    trainer = make_trainer(changes={"num_iterations": 2, "max_steps": 1})
    generate = trainer._generate_and_score_completions

    def with_other_logps(inputs):
        rollout = generate(inputs)
        rollout["old_per_token_logps"] -= 0.1
        return rollout

    trainer._generate_and_score_completions = with_other_logps
    trained(trainer)
    assert "NOT OK, expected 1 and 0." in capsys.readouterr().out


def test_sanity_check_can_be_disabled(make_trainer, capsys):
    trained(make_trainer(changes={"sanity_check": False, "max_steps": 1}))
    assert "sanity check" not in capsys.readouterr().out


@pytest.mark.parametrize("peft_config", [None, LoraConfig(r=4, target_modules=["q_proj"])], ids=["full", "lora"])
def test_time_of_each_phase_is_logged_and_printed(make_trainer, capsys, peft_config):
    changes = {"log_phase_times": True, "num_iterations": 2, "max_steps": 3}
    trainer = trained(make_trainer(changes=changes, peft_config=peft_config))
    printed = capsys.readouterr().out
    phases = {"generation", "scoring", "reference", "policy", "critic", "rollout", "update"}
    assert all(f"  {phase} " in printed for phase in phases)
    first, again, _ = steps(trainer)
    assert {name.removeprefix("time/") for name in first if name.startswith("time/")} == phases
    assert sum(first[f"time/{phase}"] for phase in phases) == pytest.approx(1)
    assert again["time/update"] == pytest.approx(1)
