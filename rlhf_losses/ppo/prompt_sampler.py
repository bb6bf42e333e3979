"""The order of the prompts: each one is used in every pass."""

from collections.abc import Callable, Iterator, Sized

from torch.utils.data import Sampler


class EveryPrompt(Sampler[int]):
    """A sampler of TRL that uses every prompt in each pass, and some of them twice if they do not fill the rollouts.

    TRL's sampler leaves out the prompts at the end of a pass that do not fill a rollout. Here it draws from as many
    indices as fill all rollouts; those after the last prompt stand for other prompts in each pass, in the order of the
    dataset.

    Args:
        make_sampler: makes the sampler of TRL for a dataset of some length.
        prompts: number of prompts.
        prompts_per_rollout: number of prompts in a rollout.

    Examples:
        >>> from torch.utils.data import SequentialSampler
        >>> sampler = EveryPrompt(SequentialSampler, prompts=3, prompts_per_rollout=2)
        >>> list(sampler), list(sampler)
        ([0, 1, 2, 0], [0, 1, 2, 1])
    """

    def __init__(self, make_sampler: Callable[[range], "Sampler[int]"], prompts: int, prompts_per_rollout: int) -> None:
        self.prompts = prompts
        self.added = -prompts % prompts_per_rollout
        self.sampler = make_sampler(range(prompts + self.added))
        self._passes = 0

    def __iter__(self) -> Iterator[int]:
        """Yield the index of a prompt for each completion of a pass."""
        first = self._passes * self.added
        self._passes += 1
        for index in self.sampler:
            yield index if index < self.prompts else (first + index) % self.prompts

    def __len__(self) -> int:
        """Return the number of completions of a pass."""
        assert isinstance(self.sampler, Sized)
        return len(self.sampler)
