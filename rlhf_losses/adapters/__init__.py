"""Data as people have it: one adapter a layout, from well-known datasets to the columns of our feedback."""

from rlhf_losses.adapters.arena import ArenaTable, ArenaVotes
from rlhf_losses.adapters.base import Adapter
from rlhf_losses.adapters.helpsteer_preference import Helpsteer2Preference, Helpsteer3Preference
from rlhf_losses.adapters.helpsteer_ratings import HelpsteerRatings
from rlhf_losses.adapters.hh_rlhf import HhRlhf
from rlhf_losses.adapters.math_shepherd import MathShepherd
from rlhf_losses.adapters.native import Native
from rlhf_losses.adapters.open_assistant import OpenAssistant
from rlhf_losses.adapters.prm800k import Prm800k
from rlhf_losses.adapters.tokenized_pairs import TokenizedPairs
from rlhf_losses.adapters.ultrafeedback import Ultrafeedback
from rlhf_losses.adapters.ultrafeedback_binarized import UltrafeedbackBinarized

__all__ = [
    "Adapter",
    "ArenaTable",
    "ArenaVotes",
    "Helpsteer2Preference",
    "Helpsteer3Preference",
    "HelpsteerRatings",
    "HhRlhf",
    "MathShepherd",
    "Native",
    "OpenAssistant",
    "Prm800k",
    "TokenizedPairs",
    "Ultrafeedback",
    "UltrafeedbackBinarized",
]
