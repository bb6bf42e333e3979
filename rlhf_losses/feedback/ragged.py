"""Ragged: numbers laid end to end, so many of each group, like the answers of a list or the steps of an answer."""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import torch

from rlhf_losses.shapes import GroupIndex, MemberIndex, PairIndex, PerGroup, PerMember


@dataclass(frozen=True, eq=False)
class Ragged:
    """Reductions of a vector over each group of its members, for all groups at once and of any sizes.

    `sizes` says how many members each group has; it may have none. Where logarithms of sums are taken, the highest
    member is taken off first, so that nothing overflows. Steps that a gradient cannot see are no part of the value.

    >>> Ragged(torch.tensor([2, 0, 1])).sum(torch.tensor([1.0, 2.0, 5.0]))
    tensor([3., 0., 5.])
    """

    sizes: GroupIndex

    def __len__(self) -> int:
        return len(self.sizes)

    @cached_property
    def of(self) -> MemberIndex:
        """The number of the group of each member."""
        return torch.arange(len(self), device=self.sizes.device).repeat_interleave(self.sizes)

    @property
    def firsts(self) -> GroupIndex:
        """The position of the first member of each group."""
        return self.sizes.cumsum(0) - self.sizes

    @property
    def lasts(self) -> GroupIndex:
        """The position of the last member of each group."""
        return self.sizes.cumsum(0) - 1

    @property
    def places(self) -> MemberIndex:
        """The place of each member in its group, counted from 0."""
        return torch.arange(len(self.of), device=self.sizes.device) - self.firsts[self.of]

    def only(self, members: PerMember) -> Self:
        """Return the groups that are left of these members, given as true or false."""
        return type(self)(self.sum(members.long()))

    def sum(self, values: PerMember) -> PerGroup:
        """Return the sum of each group; nothing adds up to 0."""
        return values.new_zeros(len(self)).index_add(0, self.of, values)

    def highest(self, values: PerMember) -> PerGroup:
        """Return the highest value of each group; where there is none, the lowest number of the type."""
        lowest = (torch.finfo if values.is_floating_point() else torch.iinfo)(values.dtype).min
        return values.new_full((len(self),), lowest).scatter_reduce(0, self.of, values, "amax")

    def logsumexp(self, values: PerMember) -> PerGroup:
        """Return the logarithm of the sum of the exponentials of each group, which must have members."""
        highest = self.highest(values.detach())
        return highest + self.sum((values - highest[self.of]).exp()).log()

    def log_softmax(self, values: PerMember) -> PerMember:
        """Return the logarithm of the share that the exponential of each member has in the sum of its group."""
        leads = values - self.highest(values.detach())[self.of]
        return leads - self.sum(leads.exp()).log()[self.of]

    def running_logsumexp(self, values: PerMember) -> tuple[PerMember, PerMember]:
        r"""Return the logarithm of the sum of the exponentials up to each member, in two parts to be added up.

        The first is the highest value so far, the second the logarithm of the sum taken relative to it. Apart, because
        beside a large value the logarithm of a number of members would be lost. The partial sums are combined over
        distances that double, so that :math:`n` members take :math:`n \log n`.

        >>> highest, rest = Ragged(torch.tensor([2, 1])).running_logsumexp(torch.tensor([1e9, 1e9, 0.0]))
        >>> rest.exp()
        tensor([1., 2., 1.])
        """
        highest, sums = values.detach(), (values - values.detach()).exp()
        distance, longest = 1, int(self.sizes.max()) if len(self) else 0
        while distance < longest:
            same = self.of[distance:] == self.of[:-distance]
            before = highest[:-distance].where(same, -torch.inf)
            here = highest[distance:]
            top = torch.maximum(here, before)
            joined = sums[distance:] * (here - top).exp() + sums[:-distance] * (before - top).exp()
            highest, sums = torch.cat([highest[:distance], top]), torch.cat([sums[:distance], joined])
            distance *= 2
        return highest, sums.log()

    def order(self, *keys: PerMember) -> MemberIndex:
        """Return the positions of the members group by group, by rising keys; later keys decide among equals.

        >>> Ragged(torch.tensor([3, 2])).order(torch.tensor([1, 0, 1, 7, 6]), torch.tensor([2, 0, 1, 0, 0]))
        tensor([1, 2, 0, 4, 3])
        """
        order = torch.arange(len(self.of), device=self.sizes.device)
        for key in (*reversed(keys), self.of):
            order = order[key[order].argsort(stable=True)]
        return order

    def pairs(self) -> tuple[PairIndex, PairIndex]:
        """Return the positions of every two members of a group: those that come first, and those after them.

        >>> Ragged(torch.tensor([3, 2])).pairs()
        (tensor([0, 0, 1, 3]), tensor([1, 2, 2, 4]))
        """
        after = self.lasts[self.of] - torch.arange(len(self.of), device=self.sizes.device)
        first = torch.arange(len(self.of), device=self.sizes.device).repeat_interleave(after)
        step = torch.arange(len(first), device=self.sizes.device) - (after.cumsum(0) - after)[first]
        return first, first + 1 + step
