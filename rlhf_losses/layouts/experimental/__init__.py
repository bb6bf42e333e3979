"""Attention kernels that have not been measured on a GPU, selected by name with `attn_implementation`.

`rlhf_losses.layouts.attention` imports this package when a layer with one of these names runs.
"""

from rlhf_losses.layouts.base import TreeAttention
from rlhf_losses.layouts.experimental.flex import attend_flex
from rlhf_losses.layouts.experimental.timing import attend_fastest
from rlhf_losses.layouts.experimental.varlen import attend_flash_attn, attend_varlen

TREE_ATTENTIONS: dict[str, TreeAttention] = {
    "rlhf_losses_tree_fastest": attend_fastest,
    "rlhf_losses_tree_flex": attend_flex,
    "rlhf_losses_tree_varlen": attend_varlen,
    "rlhf_losses_tree_fa2": attend_flash_attn,
}
