"""AttentionOptions texts lie in memory: padded, packed, or with their common beginnings once; every score is the same."""

from rlhf_losses.layouts.base import Layout, ArrangedTexts
from rlhf_losses.layouts.packed import PackedLayout
from rlhf_losses.layouts.padded import PaddedLayout
from rlhf_losses.layouts.prefix_shared import PrefixSharedLayout
from rlhf_losses.layouts.selection import LayoutName, choose_layout, require_layout, require_same_scores

__all__ = [
    "ArrangedTexts",
    "Layout",
    "LayoutName",
    "PackedLayout",
    "PaddedLayout",
    "PrefixSharedLayout",
    "choose_layout",
    "require_layout",
    "require_same_scores",
]
