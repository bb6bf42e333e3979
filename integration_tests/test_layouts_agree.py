"""Padded, packed and prefix-shared training agree in every loss, metric and weight."""

import shutil
from copy import deepcopy
from dataclasses import replace
from itertools import chain

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from ragged import RAGGED, ragged_lists, run_in_processes
from thorough_cases import each_value, with_thorough
from torch._dynamo import config as dynamo
from torch._inductor import config as inductor
from torch._inductor import metrics
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    LlamaForSequenceClassification,
    ModernBertConfig,
)

from rlhf_losses import RewardConfig, RewardTrainer
from rlhf_losses.errors import RlhfLossesError
from rlhf_losses.layouts.prefix_tree import PrefixTree
from rlhf_losses.models.scores import find_layers

LORA = LoraConfig(r=4, lora_alpha=8, lora_dropout=0.0, target_modules=["q_proj", "v_proj", "up_proj"])
SAME = ("loss", "grad_norm", "accuracy", "margin", "mean_reward", "num_tokens")
EXTREMES = ("min_reward", "max_reward")


def train(model, settings, data, loss, peft_config=None, **changes) -> RewardTrainer:
    arguments = settings(**{"max_steps": 10, "learning_rate": 3e-3, "check_layout": True} | changes)
    trainer = RewardTrainer(model, RewardConfig(**arguments), train_dataset=data, loss=loss, peft_config=peft_config)
    trainer.train()
    return trainer


def assert_same_training(ours: RewardTrainer, theirs: RewardTrainer, metrics: tuple[str, ...] = SAME) -> None:
    for mine, other in zip(ours.state.log_history[:-1], theirs.state.log_history[:-1], strict=True):
        for name in [name for name in other if name.startswith(metrics)]:
            assert mine[name] == pytest.approx(other[name], rel=2e-3, abs=2e-4), (other["epoch"], name)
    for (name, mine), (_, other) in zip(ours.model.named_parameters(), theirs.model.named_parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-2, atol=5e-4, msg=name)


def cases(pairs):
    return {
        "pairs": (pairs, "bradley_terry"),
        "lists": (ragged_lists(), "plackett_luce + 0.01 * score_decay"),
        "steps": (RAGGED["steps"][0](), "segment_hinge"),
        "pairs and steps": (RAGGED["pairs and steps"][0](), RAGGED["pairs and steps"][1]),
    }


@pytest.mark.parametrize(
    ("case", "peft_config"),
    with_thorough(
        [("lists", LORA), ("pairs and steps", None)],
        [(data, None) for data in ("pairs", "lists", "steps")]
        + [(data, LORA) for data in ("pairs", "steps", "pairs and steps")],
    ),
)
def test_ten_steps_agree_in_every_layout(language_model, settings, pairs, case, peft_config):
    data, loss = cases(pairs)[case]
    padded = train(language_model, settings, data, loss, peft_config, layout="padded")
    for layout in ("packed", "prefix_shared"):
        trainer = train(language_model, settings, data, loss, peft_config, layout=layout)
        assert trainer.data_collator.layout.name == layout
        assert_same_training(trainer, padded, SAME + EXTREMES)


@pytest.mark.parametrize(
    ("options", "config"),
    with_thorough(
        [({"max_tokens_per_forward": 60}, BertConfig), ({"gradient_checkpointing": True}, ModernBertConfig)],
        [
            ({}, BertConfig),
            ({}, ModernBertConfig),
            ({"gradient_checkpointing": True}, BertConfig),
            ({"max_tokens_per_forward": 60}, ModernBertConfig),
        ],
    ),
    ids=str,
)
def test_packed_training_of_encoders_agrees_with_padded(tokenizer, settings, pairs, config, options):
    def trained(**changes):
        torch.manual_seed(0)
        shape = config(
            vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32, num_hidden_layers=2,
            num_attention_heads=2, num_labels=1, pad_token_id=0, bos_token_id=1, eos_token_id=2,
        )  # fmt: skip
        arguments = settings(max_steps=10, learning_rate=3e-3, check_layout=True, **changes)
        trainer = RewardTrainer(
            AutoModelForSequenceClassification.from_config(shape), RewardConfig(**arguments), pairs,
            processing_class=tokenizer,
        )  # fmt: skip
        trainer.model.double()  # Adam amplifies gradients near 0, whose sign depends on rounding
        trainer.train()
        return trainer

    packed, padded = trained(**options), trained(layout="padded")
    assert packed.data_collator.layout.name == "packed"
    assert_same_training(packed, padded, SAME + EXTREMES)


@pytest.mark.parametrize(
    ("options", "layout"),
    each_value(
        [
            {"gradient_checkpointing": True},
            {"max_tokens_per_forward": 40},
            {"max_tokens_per_forward": 1},
            {"max_tokens_per_forward": 60, "gradient_accumulation_steps": 2, "average_over": "prompts"},
            {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2},
        ],
        ["padded", "prefix_shared"],
    ),
    ids=str,
)
def test_the_split_of_a_step_does_not_change_training(language_model, settings, layout, options):
    plain = {name: options[name] for name in ("average_over",) if name in options}
    rows = options.get("per_device_train_batch_size", 4) * options.get("gradient_accumulation_steps", 1)
    expected = train(
        language_model, settings, ragged_lists(), "bradley_terry", layout="padded",
        per_device_train_batch_size=rows, **plain,
    )  # fmt: skip
    trainer = train(language_model, settings, ragged_lists(), "bradley_terry", layout=layout, **options)
    assert_same_training(trainer, expected, SAME + EXTREMES)


RANDOM_LORA = replace(LORA, init_lora_weights=False)  # by default one factor is 0, and so is the gradient of the other


@pytest.mark.parametrize("peft_config", [None, RANDOM_LORA], ids=["full", "lora"])
@pytest.mark.parametrize("case", ["pairs", "lists", "steps", "pairs and steps"])
def test_every_gradient_of_one_batch_agrees(language_model, settings, pairs, case, peft_config):
    """Compare each element; the model is in float64, so only the float32 loss has rounding errors."""
    data, loss = cases(pairs)[case]

    def gradients(layout):
        torch.manual_seed(0)
        config = RewardConfig(**settings(layout=layout))
        trainer = RewardTrainer(language_model, config, train_dataset=data, loss=loss, peft_config=peft_config)
        trainer.model.double()
        batch = trainer.data_collator([trainer.train_dataset[i] for i in range(8)])
        trainer.compute_loss(trainer.model, batch).backward()
        return {name: weight.grad for name, weight in trainer.model.named_parameters() if weight.requires_grad}

    padded = gradients("padded")
    assert all(gradient.any() for gradient in padded.values())
    for layout in ("packed", "prefix_shared"):
        ours = gradients(layout)
        assert ours.keys() == padded.keys()
        for name, expected in padded.items():
            assert (ours[name] - expected).abs().max() < 2e-6 * expected.abs().max(), (layout, name)


@pytest.mark.upstream
@pytest.mark.parametrize(("peft_config", "use_reentrant"), each_value([None, LORA], [True, False]))
def test_gradient_checkpointing_does_not_change_training(language_model, settings, peft_config, use_reentrant):
    def trained(**changes):
        config = RewardConfig(**settings(**changes))
        trainer = RewardTrainer(language_model, config, ragged_lists(), loss="plackett_luce", peft_config=peft_config)
        find_layers(trainer.model)[0].mlp.register_forward_pre_hook(lambda *_: computed.append(1))
        trainer.train()
        return trainer

    checkpointing = {"gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"use_reentrant": use_reentrant}}
    computed: list[int] = []
    padded = trained(layout="padded")
    assert len(computed) == 3  # once per step
    for layout in ("packed", "prefix_shared"):
        computed.clear()
        assert_same_training(trained(layout=layout, **checkpointing), padded, SAME + EXTREMES)
        assert len(computed) == 6


def test_evaluation_agrees_in_every_layout_and_split(language_model, settings):
    measured = []
    for changes in (
        {"layout": "padded"},
        {"layout": "packed"},
        {"layout": "prefix_shared", "max_tokens_per_forward": 50},
    ):
        trainer = RewardTrainer(
            language_model, RewardConfig(**settings(**changes)), train_dataset=ragged_lists(),
            eval_dataset=ragged_lists(), loss="bradley_terry",
        )  # fmt: skip
        output = trainer.predict(trainer.eval_dataset)
        lines = [line[:count].tolist() for line, count in zip(output.predictions, output.label_ids, strict=True)]
        measured.append((output.metrics["test_loss"], list(chain(*lines))))
    for loss, scores in measured[1:]:
        assert loss == pytest.approx(measured[0][0], rel=1e-5)
        assert scores == pytest.approx(measured[0][1], abs=1e-5)


def test_a_forward_pass_computes_at_most_max_tokens_per_forward(language_model, settings):
    trainer = train(language_model, settings, ragged_lists(), "plackett_luce", max_steps=1, max_tokens_per_forward=80)
    rows = [trainer.train_dataset[i] for i in range(16)]
    passes = trainer.data_collator(rows)["passes"]
    assert len(passes) > 1
    for one in passes:
        tree: PrefixTree = one.texts.model_inputs["tree"]
        assert tree.num_tokens <= 80 or len(one.rows) == 1
    assert sorted(torch.cat([one.rows for one in passes]).tolist()) == list(range(16))


@pytest.mark.parametrize("layout", with_thorough(["prefix_shared"], ["padded", "packed"]))
def test_on_a_cpu_large_batches_are_split_by_default(language_model, settings, layout):
    """A batch with more than 2,048 tokens has several passes, and the metrics and weights of one pass."""
    words = ["the sea", "a forest", "one moon", "some wind"] * 4
    rows = [{"prompt": f"{i} {word}. " * 18, "chosen": f"Yes {i}.", "rejected": "No!"} for i, word in enumerate(words)]
    common = {"layout": layout, "per_device_train_batch_size": len(rows), "max_steps": 2}
    whole = train(
        language_model, settings, Dataset.from_list(rows), "bradley_terry", max_tokens_per_forward=10**6, **common
    )
    split = train(language_model, settings, Dataset.from_list(rows), "bradley_terry", **common)
    assert len(whole.data_collator(list(whole.train_dataset))["passes"]) == 1
    assert len(split.data_collator(list(split.train_dataset))["passes"]) > 1
    assert_same_training(split, whole, SAME + EXTREMES)


def test_batches_of_batch_losses_are_not_split(language_model, settings):
    loss = "bradley_terry + 0.1 * batch_sum_to_zero"
    assert train(language_model, settings, ragged_lists(), loss, max_steps=1).data_collator.splitter is None


def test_rows_of_one_batch_share_their_common_prompt(language_model, settings):
    """The tokens of a long prompt of three rows occur once in the batch."""
    prompt = "Tell me about the sea, the wind and the moon. "
    rows = [{"prompt": prompt, "chosen": f"Yes {i}.", "rejected": f"No {i}!"} for i in range(3)]
    trainer = train(language_model, settings, Dataset.from_list(rows), "bradley_terry", max_steps=1)
    (one,) = trainer.data_collator([trainer.train_dataset[i] for i in range(3)])["passes"]
    tokens = one.texts.model_inputs["input_ids"].numel()
    assert tokens < 2 * len(prompt)
    assert int(one.num_tokens) > 6 * len(prompt)


@pytest.mark.upstream
def test_a_run_with_max_tokens_per_forward_resumes_exactly(language_model, settings, tmp_path):
    def go(folder, **changes):
        arguments = settings(
            output_dir=str(tmp_path / folder), max_steps=6, max_tokens_per_forward=60, layout="prefix_shared", **changes
        )
        return RewardTrainer(
            language_model, RewardConfig(**arguments), train_dataset=ragged_lists(), loss="accumulated_pairs"
        )

    whole = go("whole")
    whole.train()
    go("parts", save_strategy="steps", save_steps=3).train()
    resumed = go("parts")
    resumed.train(resume_from_checkpoint=str(tmp_path / "parts" / "checkpoint-3"))
    for (name, mine), (_, other) in zip(resumed.model.named_parameters(), whole.model.named_parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-7, msg=name)


UPPER = LoraConfig(r=4, lora_alpha=8, lora_dropout=0.0, target_modules=["q_proj", "up_proj"], layers_to_transform=[1])


@pytest.mark.parametrize("layout", ["padded", "prefix_shared"])
def test_epochs_with_cached_hidden_states_agree(language_model, settings, pairs, layout):
    plain = train(language_model, settings, pairs, "bradley_terry", UPPER, layout=layout)
    trainer = train(language_model, settings, pairs, "bradley_terry", UPPER, layout=layout, hidden_state_cache_gib=0.1)
    assert trainer.cached_layers.depth == 1
    assert trainer.cached_layers.reused_passes == 6  # four of ten passes had new texts
    assert_same_training(trainer, plain, SAME + EXTREMES)


def test_texts_beyond_the_cache_size_are_recomputed(language_model, settings, pairs):
    plain = train(language_model, settings, pairs, "bradley_terry", UPPER)
    trainer = train(language_model, settings, pairs, "bradley_terry", UPPER, hidden_state_cache_gib=2e-5)
    assert 0 < len(trainer.cached_layers.cache.states) < 32
    assert trainer.cached_layers.reused_passes < 6
    assert_same_training(trainer, plain, SAME + EXTREMES)


def test_trainers_on_one_base_share_a_cache(language_model, settings, pairs):
    first = train(language_model, settings, pairs, "bradley_terry", UPPER, hidden_state_cache_gib=0.1)
    alone = train(language_model, settings, pairs, "hinge", UPPER)
    cache = first.cached_layers.cache
    trainer = RewardTrainer(
        language_model, RewardConfig(**settings(max_steps=10, learning_rate=3e-3)), train_dataset=pairs, loss="hinge",
        peft_config=UPPER, hidden_state_cache=cache,
    )  # fmt: skip
    trainer.train()
    assert trainer.cached_layers.reused_passes == 10  # the first trainer cached every text
    assert_same_training(trainer, alone, SAME + EXTREMES)


def test_a_cache_of_other_layers_is_refused(language_model, settings, pairs):
    first = train(language_model, settings, pairs, "bradley_terry", UPPER, max_steps=1, hidden_state_cache_gib=0.1)
    other = LlamaForSequenceClassification(first.model.config)
    with pytest.raises(RlhfLossesError, match="other frozen layers"):
        RewardTrainer(
            other, RewardConfig(**settings()), train_dataset=pairs, loss="hinge", peft_config=UPPER,
            processing_class=first.processing_class, hidden_state_cache=first.cached_layers.cache,
        )  # fmt: skip


def test_a_model_with_a_trained_first_layer_has_no_cache_and_a_warning(language_model, settings, pairs, caplog):
    with caplog.at_level("WARNING", "rlhf_losses"):
        trainer = train(language_model, settings, pairs, "bradley_terry", LORA, max_steps=1, hidden_state_cache_gib=1.0)
    assert trainer.cached_layers is None
    assert "its first layer is trained" in caplog.text


def test_no_gradient_is_computed_below_the_first_trained_layer(language_model, settings, pairs):
    trainer = train(language_model, settings, pairs, "bradley_terry", UPPER, max_steps=1)
    requires_grad = []
    for layer in trainer.model.get_base_model().model.layers:
        layer.register_forward_hook(lambda _module, _args, output: requires_grad.append(output.requires_grad))
    trainer.compute_loss(trainer.model, trainer.data_collator([trainer.train_dataset[0]]))
    assert requires_grad == [False, True]


SHARDED = """
import json, sys, torch, torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from transformers import AutoModelForSequenceClassification
from rlhf_losses.layouts import PaddedLayout, choose_layout
from rlhf_losses.models.scores import score_batch

dist.init_process_group("gloo")
rank, mesh, padded = dist.get_rank(), init_device_mesh("cpu", (2,)), PaddedLayout(0)
texts = [[1] + [5 + n] * 12 + [20 + m] * (3 + m) for n in range(2) for m in range(4)]

def load():
    torch.manual_seed(0)
    return AutoModelForSequenceClassification.from_pretrained(sys.argv[1], num_labels=1, dtype=torch.float32)

def loss(model, layout, texts):
    batch = layout.batch(texts, range(len(texts)), [len(text) - 1 for text in texts])
    return score_batch(model, batch).square().sum()

sharded, whole = load(), load()
layout = choose_layout(sharded, padded, trial=False)
for layer in sharded.model.layers:
    fully_shard(layer, mesh=mesh)
fully_shard(sharded, mesh=mesh)
loss(sharded, layout, texts[4 * rank : 4 * rank + 4]).backward()
(loss(whole, padded, texts) / 2).backward()  # gradients are averaged over processes
pairs = zip(sharded.parameters(), whole.parameters(), strict=True)
worst = max(((p.grad.full_tensor() - q.grad).norm() / q.grad.norm().clamp(min=1e-6)).item() for p, q in pairs)
if rank == 0:
    print("RESULT" + json.dumps({"layout": layout.name, "worst": worst}), flush=True)
dist.destroy_process_group()
"""


@pytest.mark.upstream
def test_gradients_agree_with_weights_sharded_over_two_processes(language_model, tmp_path):
    """FSDP2: each process holds half of each weight and gathers the rest in the forward pass."""
    found = run_in_processes(SHARDED, tmp_path, 2, language_model)
    assert found["layout"] == "prefix_shared"
    assert found["worst"] < 1e-4


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")
def test_training_of_a_compiled_model_agrees(language_model, settings, pairs):
    plain = train(language_model, settings, pairs, "bradley_terry", layout="padded", max_steps=3)
    compiled = train(
        language_model, settings, pairs, "bradley_terry", max_steps=3, torch_compile=True,
        torch_compile_backend="aot_eager",
    )  # fmt: skip
    assert_same_training(compiled, plain)


@pytest.mark.thorough  # the C++ compiler takes a minute
@pytest.mark.skipif(shutil.which("g++") is None, reason="inductor needs a C++ compiler")
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning", "ignore::DeprecationWarning")
def test_training_with_inductor_agrees(reward_model, tokenizer, settings, pairs, monkeypatch, tmp_path):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "inductor"))
    monkeypatch.setenv("TORCHINDUCTOR_DEBUG_COMPILE", "1")  # the C++ compiler takes half the time without optimization

    def trained(model, **changes):
        trainer = RewardTrainer(model, RewardConfig(**settings(**changes)), pairs, processing_class=tokenizer)
        trainer.train()
        return trainer

    plain = trained(deepcopy(reward_model), layout="padded")
    metrics.reset()
    # Sizes are dynamic from the first batch on, so that nothing is compiled twice.
    with inductor.patch(compile_threads=1), dynamo.patch(assume_static_by_default=False):
        compiled = trained(reward_model, layout="prefix_shared", torch_compile=True, torch_compile_backend="inductor")
    assert compiled.data_collator.layout.name == "prefix_shared"
    assert metrics.generated_kernel_count > 0
    assert_same_training(compiled, plain, SAME + EXTREMES)


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"layout": "prefixshared"}, "prefix_shared"), ({"max_tokens_per_forward": 0}, "max_tokens_per_forward=0")],
)
def test_invalid_settings_are_refused(settings, changes, message):
    with pytest.raises(RlhfLossesError, match=message):
        RewardConfig(**settings(**changes))
