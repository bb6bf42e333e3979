"""Tiny models in memory: a word tokenizer, a language model that tells stories, an untrained reward model.

The language model is a Llama of two layers, trained from nothing for a few seconds.
"""

import copy
from collections.abc import Sequence

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification, PreTrainedTokenizerFast

from rlhf_losses.sandbox.stories import Storyteller
from rlhf_losses.sandbox.threads import one_thread

SPACE = "▁"
SPECIAL = PAD, BOS, EOS, UNK = "<pad>", "<s>", "</s>", "<unk>"
CONTEXT = 128
CONFIDENCE = 1.3
"""What logits are multiplied by after training: so short a training leaves a tail of wrong words; this cuts it off."""


def build_tokenizer(words: Sequence[str]) -> PreTrainedTokenizerFast:
    """Return a tokenizer with one token a word or mark; text made of `words` decodes to itself.

    >>> tokenizer = build_tokenizer(["Once", "foxes", "sang", "."])
    >>> tokenizer.decode(tokenizer("Once foxes sang.")["input_ids"])
    'Once foxes sang.'
    """
    tokens = [*SPECIAL, *(SPACE + word for word in words)]
    core = Tokenizer(models.WordLevel({token: number for number, token in enumerate(tokens)}, unk_token=UNK))
    to_words = pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme="always")
    core.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), to_words])
    # No space stands before a mark, nor before the word that opens every story.
    spaceless = [decoders.Replace(SPACE + start, start) for start in (".", ",", "Once")]
    core.decoder = decoders.Sequence([*spaceless, decoders.Replace(SPACE, " "), decoders.Fuse()])
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=PAD,
        bos_token=BOS,
        eos_token=EOS,
        unk_token=UNK,
        padding_side="left",
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
    )


def build_language_model(
    tokenizer: PreTrainedTokenizerFast, seed: int = 0, steps: int = 350, batch_size: int = 16
) -> LlamaForCausalLM:
    """Return a language model that has read `steps * batch_size` stories of the grammar."""
    with one_thread(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(_config(tokenizer))
        _read_stories(model, tokenizer, Storyteller(seed), steps, batch_size)
    model.model.norm.weight.data.mul_(CONFIDENCE)
    return model.eval()


def build_reward_model(language_model: LlamaForCausalLM, seed: int = 0) -> LlamaForSequenceClassification:
    """Return a classifier with one score, on a copy of the language model's body; its score head is untrained."""
    config = copy.deepcopy(language_model.config)
    config.num_labels = 1
    config.tie_word_embeddings = False  # a classifier has no output embeddings to tie
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
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        initializer_range=0.1,  # at the usual 0.02 it does not learn to copy names in this time
        pad_token_id=SPECIAL.index(PAD),
        bos_token_id=SPECIAL.index(BOS),
        eos_token_id=SPECIAL.index(EOS),
    )


def _read_stories(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    teller: Storyteller,
    steps: int,
    batch_size: int,
) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.95), weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=7e-3, total_steps=steps, pct_start=0.15)
    model.train()
    for _ in range(steps):
        stories = [teller.story() + EOS for _ in range(batch_size)]
        batch = tokenizer(stories, return_tensors="pt", padding=True, padding_side="right")
        labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
        # Padding stands on the right, where causal attention never looks, so no mask is needed.
        model(input_ids=batch["input_ids"], labels=labels).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
