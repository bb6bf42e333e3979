"""Tiny models in memory: a word tokenizer, a language model of stories, and an untrained reward model.

The language model is a Llama with two layers. Training it from scratch takes a few seconds.
"""

import copy
from collections.abc import Sequence

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification, PreTrainedTokenizerFast

from rlhf_losses.sandbox.stories import StoryGenerator
from rlhf_losses.sandbox.threads import one_thread

SPACE = "▁"
SPECIAL = PAD, BOS, EOS, UNK = "<pad>", "<s>", "</s>", "<unk>"
CONTEXT_LENGTH = 128
LOGIT_SCALE = 1.3
"""Factor of the logits after training. It reduces the probability of wrong words that the short training leaves."""


def build_tokenizer(words: Sequence[str]) -> PreTrainedTokenizerFast:
    """Return a tokenizer with one token per word and punctuation mark.

    Args:
        words: words and punctuation marks. Texts of these decode to themselves.

    Examples:
        >>> tokenizer = build_tokenizer(["Once", "foxes", "sang", "."])
        >>> tokenizer.decode(tokenizer("Once foxes sang.")["input_ids"])
        'Once foxes sang.'
    """
    tokens = [*SPECIAL, *(SPACE + word for word in words)]
    core = Tokenizer(models.WordLevel({token: number for number, token in enumerate(tokens)}, unk_token=UNK))
    to_words = pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme="always")
    core.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), to_words])
    # There is no space before a punctuation mark or before the first word of a story.
    spaceless = [decoders.Replace(SPACE + start, start) for start in (".", ",", "Once")]
    core.decoder = decoders.Sequence([*spaceless, decoders.Replace(SPACE, " "), decoders.Fuse()])
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=PAD,
        bos_token=BOS,
        eos_token=EOS,
        unk_token=UNK,
        padding_side="left",
        model_max_length=CONTEXT_LENGTH,
        clean_up_tokenization_spaces=False,
    )


def build_language_model(
    tokenizer: PreTrainedTokenizerFast, seed: int = 0, steps: int = 350, batch_size: int = 16
) -> LlamaForCausalLM:
    """Return a language model trained on generated stories.

    Args:
        tokenizer: tokenizer with the vocabulary of the stories.
        seed: seed of the weights and of the stories.
        steps: number of optimizer steps.
        batch_size: number of stories per step.
    """
    with one_thread(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(_config(tokenizer))
        _train(model, tokenizer, StoryGenerator(seed), steps, batch_size)
    model.model.norm.weight.data.mul_(LOGIT_SCALE)
    return model.eval()


def build_reward_model(language_model: LlamaForCausalLM, seed: int = 0) -> LlamaForSequenceClassification:
    """Return a sequence classifier with a copy of the language model's layers and an untrained head with one output.

    Args:
        language_model: source of the weights.
        seed: seed of the head.
    """
    config = copy.deepcopy(language_model.config)
    config.num_labels = 1
    config.tie_word_embeddings = False  # a classifier has no output embeddings
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForSequenceClassification(config)
    model.model.load_state_dict(language_model.model.state_dict())
    return model.eval()


def _config(tokenizer: PreTrainedTokenizerFast) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=CONTEXT_LENGTH,
        tie_word_embeddings=True,
        initializer_range=0.1,  # with the default 0.02 the model does not learn to copy names in this time
        pad_token_id=SPECIAL.index(PAD),
        bos_token_id=SPECIAL.index(BOS),
        eos_token_id=SPECIAL.index(EOS),
    )


def _train(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    generator: StoryGenerator,
    steps: int,
    batch_size: int,
) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.95), weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=7e-3, total_steps=steps, pct_start=0.15)
    model.train()
    for _ in range(steps):
        stories = [generator.story() + EOS for _ in range(batch_size)]
        batch = tokenizer(stories, return_tensors="pt", padding=True, padding_side="right")
        labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
        # Padding is on the right and attention is causal, so no mask is needed.
        model(input_ids=batch["input_ids"], labels=labels).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
