"""`Scorer`: a trained reward model as a function from text to one float."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import send_to_device
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rlhf_losses.data.rendering import render
from rlhf_losses.data.segmentation import split_segments
from rlhf_losses.data.tokenization import Encoded, cut_prompt, encode
from rlhf_losses.errors import InvalidFeedbackError, UnsupportedModelError
from rlhf_losses.feedback.base import Answer, Messages
from rlhf_losses.layouts import LayoutName, PaddedLayout, choose_layout
from rlhf_losses.layouts.splitting import default_splitter
from rlhf_losses.losses import Aggregated
from rlhf_losses.models.architectures import longrope_threshold, max_context_length
from rlhf_losses.models.scores import find_head, read_batch, score_batch
from rlhf_losses.scoring.estimator import Estimator, Fitted, fitted_in
from rlhf_losses.scoring.loading import load_reward_model
from rlhf_losses.scoring.metadata import RewardModelMetadata, require_same_head
from rlhf_losses.shapes import Features

Text = str | Messages
Reader = Callable[[nn.Module, Mapping[str, Any]], tuple[Tensor, ...]]


class Scorer:
    """One float for each text or conversation, whatever loss the reward model was trained with.

    A scorer is a valid reward function of TRL's trainers: `GRPOTrainer(reward_funcs=scorer)`. Scores do not
    depend on the batch size or on what else is in a batch. A model trained on steps scores a text by the
    mean over its steps (or what its loss made of them), found as `description.segmentation` says.

    Args:
        model: a sequence classifier with one label.
        tokenizer: its tokenizer.
        description: what was saved with the model; without one, the score is read at the end of a text.
        batch_size: the most texts of a forward pass; on a CPU also no more than about 2,048 tokens that share nothing.
        layout: how texts lie in memory, see `RewardConfig`; what completions have in common is computed once.
    """

    mean, std = 0.0, 1.0
    """What scores are standardised by; those of a plain scorer are not."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        description: RewardModelMetadata | None = None,
        batch_size: int = 32,
        layout: LayoutName = "auto",
    ) -> None:
        if model.config.num_labels != 1:
            raise UnsupportedModelError(
                f"This model has num_labels={model.config.num_labels}, but a scorer gives one number a text. "
                "Load it with AutoModelForSequenceClassification.from_pretrained(..., num_labels=1)."
            )
        self.model = model.eval()
        find_head(self.model).float()
        self.tokenizer = tokenizer
        self.metadata = description or RewardModelMetadata(loss="unknown", feedback=[])
        self.batch_size = batch_size
        self.layout = choose_layout(self.model, PaddedLayout(tokenizer.pad_token_id or 0), layout)
        self.folder: Path | None = None
        self.fitted: dict[str, Fitted] = {}
        self.__name__ = "reward_model"

    @classmethod
    def from_pretrained(
        cls,
        path: str | Path,
        batch_size: int = 32,
        device: str | torch.device | None = None,
        dtype: torch.dtype | str = torch.float32,
        layout: LayoutName = "auto",
        **model_options: Any,
    ) -> "Scorer":
        """Load a saved_merged reward model, a LoRA adapter of one, or any sequence classifier with one label.

        Raises:
            UnsupportedModelError: the head is missing or is not the one that was trained, or gives several numbers.
        """
        model, tokenizer = load_reward_model(path, dtype=dtype, **model_options)
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        scorer = cls(model.to(device), tokenizer, RewardModelMetadata.load(path), batch_size, layout)
        scorer.folder, scorer.__name__ = Path(path), Path(path).name
        require_same_head(scorer.model, tokenizer, scorer.metadata)
        return scorer

    def __call__(self, prompts: Sequence[Text], completions: Sequence[Text], **_: Any) -> list[float]:
        """Score each completion after its prompt."""
        answers = [Answer(prompt, (completion,)) for prompt, completion in zip(prompts, completions, strict=True)]
        return [self.aggregate(parts) for parts in self.score_answers([self.split_steps(one) for one in answers])]

    def aggregate(self, parts: Sequence[float]) -> float:
        """Return the score of a text whose steps have these scores: their mean, or what the loss made of them."""
        return self.aggregated.of_steps(torch.tensor(parts, dtype=torch.float64)).item()

    @property
    def aggregated(self) -> Aggregated:
        """Return how one score is made of those of the steps."""
        return Aggregated(by=self.metadata.aggregate, temperature=self.metadata.aggregate_temperature)

    def score(self, texts: Sequence[Text]) -> list[float]:
        """Score whole texts or whole conversations."""
        return self([None] * len(texts), texts)  # type: ignore[list-item]

    def score_steps(self, prompt: Text, steps: Sequence[str]) -> list[float]:
        """Score each step of one answer, in one forward pass."""
        return self.score_answers([Answer(prompt, tuple(steps))])[0]

    def score_answers(self, answers: Sequence[Answer]) -> list[list[float]]:
        """Return the scores at the end of each part of each answer."""
        return self.score_encoded([self.encode(answer) for answer in answers])

    def score_encoded(self, texts: Sequence[Encoded]) -> list[list[float]]:
        """Return the scores of each tokenized text; equal ones are scored once."""
        return [scores.tolist() for (scores,) in self._read(texts, lambda model, batch: (score_batch(model, batch),))]

    def read_encoded(self, texts: Sequence[Encoded]) -> list[tuple[Features, list[float]]]:
        """Return, for each tokenized text, what the score head reads at the end of each part, and the scores there.

        The scores are those of the model, also where the scorer standardises them.
        """
        return [(features, scores.tolist()) for features, scores in self._read(texts, read_batch)]

    def estimator(self, name: str, plugin_files: Iterable[str | Path] = ()) -> Estimator:
        """Return what was fitted beside the score under a name, as a function of prompts and completions.

        It is a reward function too, as the scorer is: `reward_funcs=[scorer, scorer.estimator("laplace")]` with
        `reward_weights=[1.0, -0.5]`. See `fit_estimate`.

        Raises:
            UnknownNameError: no plugin provides an estimate of that name.
            UnsupportedModelError: it was not fitted to this model, or the model has changed since.
        """
        return Estimator(self, fitted_in(self, name, plugin_files))

    def split_steps(self, answer: Answer) -> Answer:
        """ForwardPassSplitter a whole answer into the steps whose mean is its score, if the model was trained on steps."""
        how, (completion,) = self.metadata.segmentation, answer.parts
        if how is None:
            return answer
        if isinstance(completion, str):
            return Answer(answer.prompt, tuple(split_segments(completion, how)))
        before, last, prompt = completion[:-1], str(completion[-1]["content"]), answer.prompt
        opening = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt or [])
        return Answer(opening + before, tuple(split_segments(last, how)))

    def encode(self, answer: Answer) -> Encoded:
        """Tokenize an answer, cutting its prompt from the left where the text is longer than the model's context."""
        text = encode(render(answer, self.tokenizer, self.metadata.separator), self.tokenizer)
        context = max_context_length(self.model.config)
        excess = 0 if context is None else len(text.ids) - context
        if excess <= 0:
            return text
        if excess > text.prompt_length:
            raise InvalidFeedbackError(
                f"A text of {len(text.ids)} tokens is to be scored, but the model reads {context} and the answer alone "
                "is longer. Shorten the answers (in PPO with --max_completion_length), or take a model that reads more."
            )
        return cut_prompt(text, excess)

    @torch.no_grad()
    def _read(self, texts: Sequence[Encoded], read: Reader) -> list[tuple[Tensor, ...]]:
        """Return what `read` finds at the positions of each text; equal texts are read once."""
        distinct = {(tuple(text.ids), text.positions): text for text in texts}
        found: dict[Any, tuple[Tensor, ...]] = {}
        change = longrope_threshold(self.model.config)
        short, long = [[key for key in distinct if (len(key[0]) > change) is side] for side in (False, True)]
        for keys in [*self._batches(short), *self._batches(long)]:
            found |= zip(keys, self._forward([distinct[key] for key in keys], read), strict=True)
        return [found[tuple(text.ids), text.positions] for text in texts]

    def _batches(self, keys: list[Any]) -> Iterator[list[Any]]:
        keys = sorted(keys, key=lambda key: self.layout.sort_key([key[0]]))
        cut = default_splitter(self.model.device)
        for start in range(0, len(keys), self.batch_size):
            chosen = keys[start : start + self.batch_size]
            passes = cut(self.layout, [[key[0]] for key in chosen]) if cut else [range(len(chosen))]
            yield from ([chosen[number] for number in numbers] for numbers in passes)

    def _forward(self, texts: Sequence[Encoded], read: Reader) -> list[tuple[Tensor, ...]]:
        lengths = [len(text.positions) for text in texts]
        owners = [number for number, length in enumerate(lengths) for _ in range(length)]
        positions = [position for text in texts for position in text.positions]
        batch = self.layout.lay_out([text.ids for text in texts], owners, positions)
        was_training = self.model.training
        self.model.eval()
        found = read(self.model, send_to_device(batch, self.model.device))
        self.model.train(was_training)
        return list(zip(*(values.cpu().split(lengths) for values in found), strict=True))
