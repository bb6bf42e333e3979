"""Ragged arrays: operations on segments of different lengths, without padding."""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import torch
from torch import Tensor

from rlhf_losses.shapes import ElementIndex, PairIndex, PerElement, PerSegment, SegmentIndex


@dataclass(frozen=True, eq=False)
class Ragged:
    """Division of a vector into consecutive segments, such as the answers of each list or the steps of each answer.

    Each method computes all segments at once. Log-sums of exponentials subtract the maximum of the segment first, so
    they do not overflow.

    Attributes:
        sizes: number of elements of each segment, of shape (segments); 0 is allowed.

    Examples:
        >>> Ragged(torch.tensor([2, 0, 1])).sum(torch.tensor([1.0, 2.0, 5.0]))
        tensor([3., 0., 5.])
    """

    sizes: SegmentIndex

    def __len__(self) -> int:
        return len(self.sizes)

    @cached_property
    def segment_ids(self) -> ElementIndex:
        """The index of the segment of each element."""
        return torch.arange(len(self), device=self.sizes.device).repeat_interleave(self.sizes)

    @property
    def starts(self) -> SegmentIndex:
        """The position of the first element of each segment."""
        return self.ends - self.sizes

    @property
    def ends(self) -> SegmentIndex:
        """The position after the last element of each segment."""
        return self.sizes.cumsum(0)

    @property
    def positions(self) -> ElementIndex:
        """The position of each element in its segment, from 0."""
        return self._elements() - self.starts[self.segment_ids]

    def split(self, values: PerElement) -> tuple[Tensor, ...]:
        """Return one vector per segment."""
        return torch.split(values, self.sizes.tolist())

    def select(self, mask: PerElement) -> Self:
        """Return the segments of the elements for which `mask` is true; some segments may become empty."""
        return type(self)(self.sum(mask.long()))

    def sum(self, values: PerElement) -> PerSegment:
        """Return the sum over each segment; 0 for an empty one."""
        return values.new_zeros(len(self)).index_add(0, self.segment_ids, values)

    def max(self, values: PerElement) -> PerSegment:
        """Return the maximum of each segment; the lowest number of the dtype for an empty one."""
        lowest = (torch.finfo if values.is_floating_point() else torch.iinfo)(values.dtype).min
        return values.new_full((len(self),), lowest).scatter_reduce(0, self.segment_ids, values, "amax")

    def logsumexp(self, values: PerElement) -> PerSegment:
        """Return the log-sum-exp of each segment; segments must not be empty."""
        maximum = self.max(values.detach())
        return maximum + self.sum((values - maximum[self.segment_ids]).exp()).log()

    def log_softmax(self, values: PerElement) -> PerElement:
        """Return the log-softmax of the values within their segment."""
        shifted = values - self.max(values.detach())[self.segment_ids]
        return shifted - self.sum(shifted.exp()).log()[self.segment_ids]

    def logcumsumexp(self, values: PerElement) -> tuple[PerElement, PerElement]:
        r"""Return the cumulative log-sum-exp within each segment, as two terms whose sum it is.

        The terms are separate because a small second term would be lost in the sum with a large first one. Partial sums
        are combined over distances 1, 2, 4, ..., so $n$ elements take $O(n \log n)$ operations.

        Returns:
            The cumulative maximum, without gradient, and the cumulative log-sum-exp relative to it.

        Examples:
            >>> maximum, rest = Ragged(torch.tensor([2, 1])).logcumsumexp(torch.tensor([1e9, 1e9, 0.0]))
            >>> rest.exp()
            tensor([1., 2., 1.])
        """
        maximum, sums = values.detach(), (values - values.detach()).exp()
        distance, longest = 1, int(self.sizes.max()) if len(self) else 0
        while distance < longest:
            same_segment = self.segment_ids[distance:] == self.segment_ids[:-distance]
            before = maximum[:-distance].where(same_segment, -torch.inf)
            here = maximum[distance:]
            larger = torch.maximum(here, before)
            combined = sums[distance:] * (here - larger).exp() + sums[:-distance] * (before - larger).exp()
            maximum, sums = torch.cat([maximum[:distance], larger]), torch.cat([sums[:distance], combined])
            distance *= 2
        return maximum, sums.log()

    def argsort(self, *keys: PerElement) -> ElementIndex:
        """Return the positions of the elements, segment by segment, in increasing order of the keys.

        Args:
            keys: vectors with one key per element; later keys order elements with equal earlier keys.

        Examples:
            >>> Ragged(torch.tensor([3, 2])).argsort(torch.tensor([1, 0, 1, 7, 6]), torch.tensor([2, 0, 1, 0, 0]))
            tensor([1, 2, 0, 4, 3])
        """
        order = self._elements()
        for key in (*reversed(keys), self.segment_ids):
            order = order[key[order].argsort(stable=True)]
        return order

    def pairs(self) -> tuple[PairIndex, PairIndex]:
        """Return the positions of both elements of every pair within a segment; the first is before the second.

        Examples:
            >>> Ragged(torch.tensor([3, 2])).pairs()
            (tensor([0, 0, 1, 3]), tensor([1, 2, 2, 4]))
        """
        elements = self._elements()
        after = self.ends[self.segment_ids] - 1 - elements
        first = elements.repeat_interleave(after)
        offset = torch.arange(len(first), device=self.sizes.device) - (after.cumsum(0) - after)[first]
        return first, first + 1 + offset

    def _elements(self) -> ElementIndex:
        return torch.arange(len(self.segment_ids), device=self.sizes.device)
