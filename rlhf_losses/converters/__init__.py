"""Dataset converters: one class per public dataset format, which converts rows to the columns of this library."""

from rlhf_losses.converters.arena import ArenaTable, ArenaVotes
from rlhf_losses.converters.base import DatasetConverter
from rlhf_losses.converters.big_bench_mistake import BigBenchMistake
from rlhf_losses.converters.capybara_labels import CapybaraLabels
from rlhf_losses.converters.compared_answers import ComparedAnswers
from rlhf_losses.converters.helpsteer_preference import Helpsteer2Preference, Helpsteer3Preference
from rlhf_losses.converters.helpsteer_ratings import HelpsteerRatings
from rlhf_losses.converters.hh_rlhf import HhRlhf
from rlhf_losses.converters.judge_bench import JudgeBench
from rlhf_losses.converters.llm_bar import LlmBar
from rlhf_losses.converters.math_shepherd import MathShepherd
from rlhf_losses.converters.native import Native
from rlhf_losses.converters.nectar import Nectar
from rlhf_losses.converters.open_assistant import OpenAssistant
from rlhf_losses.converters.ppe_best_of_k import PpeBestOfK
from rlhf_losses.converters.ppe_preference import PpePreference
from rlhf_losses.converters.prm800k import Prm800k
from rlhf_losses.converters.prm_bench import PrmBench
from rlhf_losses.converters.process_bench import ProcessBench
from rlhf_losses.converters.reward_bench import RewardBench
from rlhf_losses.converters.reward_bench2 import RewardBench2
from rlhf_losses.converters.rm_bench import RmBench
from rlhf_losses.converters.shp import Shp
from rlhf_losses.converters.skywork_preferences import SkyworkPreferences
from rlhf_losses.converters.solutions import Solutions
from rlhf_losses.converters.stack_exchange_paired import StackExchangePaired
from rlhf_losses.converters.stack_exchange_preferences import StackExchangePreferences
from rlhf_losses.converters.tokenized_pairs import TokenizedPairs
from rlhf_losses.converters.tulu_preferences import TuluPreferences
from rlhf_losses.converters.ultra_interact import UltraInteract
from rlhf_losses.converters.ultrafeedback import Ultrafeedback
from rlhf_losses.converters.ultrafeedback_binarized import UltrafeedbackBinarized

__all__ = [
    "ArenaTable",
    "ArenaVotes",
    "BigBenchMistake",
    "CapybaraLabels",
    "ComparedAnswers",
    "DatasetConverter",
    "Helpsteer2Preference",
    "Helpsteer3Preference",
    "HelpsteerRatings",
    "HhRlhf",
    "JudgeBench",
    "LlmBar",
    "MathShepherd",
    "Native",
    "Nectar",
    "OpenAssistant",
    "PpeBestOfK",
    "PpePreference",
    "Prm800k",
    "PrmBench",
    "ProcessBench",
    "RewardBench",
    "RewardBench2",
    "RmBench",
    "Shp",
    "SkyworkPreferences",
    "Solutions",
    "StackExchangePaired",
    "StackExchangePreferences",
    "TokenizedPairs",
    "TuluPreferences",
    "UltraInteract",
    "Ultrafeedback",
    "UltrafeedbackBinarized",
]
