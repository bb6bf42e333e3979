"""Dataset converters: one class per public dataset format, which converts rows to the columns of this library."""

from rlhf_losses.converters.arena import ArenaTable, ArenaVotes
from rlhf_losses.converters.base import DatasetConverter
from rlhf_losses.converters.helpsteer_preference import Helpsteer2Preference, Helpsteer3Preference
from rlhf_losses.converters.helpsteer_ratings import HelpsteerRatings
from rlhf_losses.converters.hh_rlhf import HhRlhf
from rlhf_losses.converters.math_shepherd import MathShepherd
from rlhf_losses.converters.native import Native
from rlhf_losses.converters.open_assistant import OpenAssistant
from rlhf_losses.converters.prm800k import Prm800k
from rlhf_losses.converters.tokenized_pairs import TokenizedPairs
from rlhf_losses.converters.ultrafeedback import Ultrafeedback
from rlhf_losses.converters.ultrafeedback_binarized import UltrafeedbackBinarized

__all__ = [
    "ArenaTable",
    "ArenaVotes",
    "DatasetConverter",
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
