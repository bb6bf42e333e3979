"""PPO of a real language model with a reward model that is trained on rankings of its own stories."""

import json
import re
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, set_seed

POLICY = Path(__file__).parents[2] / "shared" / "models" / "TinyStories-656K"
KIND = {"happy", "smiled", "love", "loved", "fun", "laughed", "hugged", "played", "nice", "kind", "friend", "friends"}
PROMPTS = [
    f"One day, {name} went to the park with a {toy}." for name in ("Lily", "Tom", "Ben") for toy in ("ball", "kite")
]
FAST = (
    "--bf16 false --gradient_checkpointing false --report_to none --save_strategy no --lora_target_modules all-linear"
)


def kind_words(story: str) -> int:
    return sum(word in KIND for word in re.findall(r"[a-z]+", story.lower()))


def ranked_stories() -> list[dict]:
    """Return the model's own stories, ranked by how many kind words they have."""
    tokenizer = AutoTokenizer.from_pretrained(POLICY, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(POLICY, dtype=torch.float32)
    set_seed(0)
    rows = []
    for prompt in PROMPTS:
        ids = tokenizer([prompt] * 8, return_tensors="pt")["input_ids"]
        generated = model.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=True, max_new_tokens=40, pad_token_id=0
        )
        stories = tokenizer.batch_decode(generated[:, ids.shape[1] :], skip_special_tokens=True)
        rows.append({"prompt": prompt, "completions": stories, "ranks": [-kind_words(story) for story in stories]})
    return rows


@pytest.mark.skipif(not POLICY.exists(), reason="the real model is not part of the project")
def test_the_loop_runs_on_a_real_language_model_from_the_command_line(done, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = ranked_stories()
    (tmp_path / "ranked.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps({"prompt": row["prompt"]}) + "\n" for row in rows))

    trained = done(
        *f"train --model {POLICY} --dataset ranked.jsonl --loss accumulated_pairs --output_dir reward".split(),
        *["--pad_token", "<unk>", "--max_steps", "4", "--per_device_train_batch_size", "2", "--learning_rate", "1e-3"],
        *FAST.split(),
    )
    assert "Trained on 6 of 6 rows (0 dropped)" in trained.out
    done(
        *f"ppo --model {POLICY} --reward_model reward --dataset prompts.jsonl --output_dir policy".split(),
        *[
            "--max_steps",
            "4",
            "--per_device_train_batch_size",
            "4",
            "--max_completion_length",
            "16",
            "--learning_rate",
            "1e-4",
        ],
        *FAST.split(),
    )

    before = AutoModelForCausalLM.from_pretrained(POLICY, dtype=torch.float32).state_dict()
    after = AutoModelForCausalLM.from_pretrained(tmp_path / "policy", dtype=torch.float32).state_dict()
    assert before.keys() == after.keys()
    assert any(not torch.equal(before[name], after[name]) for name in before)
