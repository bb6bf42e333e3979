"""How texts lie in memory: padded, packed, or with their common beginnings once; every score is the same."""

from rlhf_losses.layouts.base import Arrangement, Layout
from rlhf_losses.layouts.choice import LayoutName, choose_layout, require_layout, require_same_scores
from rlhf_losses.layouts.packed import PackedLayout
from rlhf_losses.layouts.padded import PaddedLayout
from rlhf_losses.layouts.prefix_shared import PrefixSharedLayout

__all__ = [
    "Arrangement",
    "Layout",
    "LayoutName",
    "PackedLayout",
    "PaddedLayout",
    "PrefixSharedLayout",
    "choose_layout",
    "require_layout",
    "require_same_scores",
]
