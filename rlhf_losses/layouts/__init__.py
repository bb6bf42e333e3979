"""Layouts of the texts of one forward pass: padded, packed or with shared prefixes. The scores are the same in all."""

from rlhf_losses.layouts.base import ArrangedTexts, Layout, TextBatch
from rlhf_losses.layouts.packed import PackedLayout
from rlhf_losses.layouts.padded import PaddedLayout
from rlhf_losses.layouts.prefix_shared import PrefixSharedLayout
from rlhf_losses.layouts.selection import LayoutName, Probe, choose_layout, require_layout, require_same_scores

__all__ = [
    "ArrangedTexts",
    "Layout",
    "LayoutName",
    "PackedLayout",
    "PaddedLayout",
    "PrefixSharedLayout",
    "Probe",
    "TextBatch",
    "choose_layout",
    "require_layout",
    "require_same_scores",
]
