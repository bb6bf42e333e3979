"""The built-in plugin: provides the losses, converters and score transforms of this package."""

from collections.abc import Iterable
from typing import Any

from rlhf_losses import converters, losses, transforms
from rlhf_losses.hooks.specs import hookimpl


@hookimpl
def provide_losses() -> Iterable[type[losses.Loss[Any] | losses.NamedObjective]]:
    """Return the built-in losses."""
    return [
        losses.BradleyTerry,
        losses.CenteredBradleyTerry,
        losses.FocalBradleyTerry,
        losses.RobustBradleyTerry,
        losses.Thurstone,
        losses.Hinge,
        losses.SquaredDifference,
        losses.RaoKupper,
        losses.Davidson,
        losses.OrdinalPreference,
        losses.IndependentClassification,
        losses.Eurus,
        losses.AccumulatedPairs,
        losses.PlackettLuce,
        losses.BestOfN,
        losses.ListNet,
        losses.LambdaNdcg,
        losses.SquaredError,
        losses.Huber,
        losses.OrdinalRating,
        losses.MultiAttribute,
        losses.CrossEntropy,
        losses.PointwiseHinge,
        losses.SegmentHinge,
        losses.SegmentRating,
        losses.StepCrossEntropy,
        losses.Pqm,
        losses.Aggregated,
        losses.Centering,
        losses.ScoreDecay,
        losses.LogBarrier,
        losses.BatchSumToZero,
        losses.LengthDecorrelation,
    ]


@hookimpl
def provide_dataset_converters() -> Iterable[type[converters.DatasetConverter]]:
    """Return the built-in converters."""
    return [
        converters.Native,
        converters.HhRlhf,
        converters.Ultrafeedback,
        converters.UltrafeedbackBinarized,
        converters.HelpsteerRatings,
        converters.Helpsteer2Preference,
        converters.Helpsteer3Preference,
        converters.Prm800k,
        converters.MathShepherd,
        converters.OpenAssistant,
        converters.ArenaVotes,
        converters.ArenaTable,
        converters.TokenizedPairs,
        converters.SkyworkPreferences,
        converters.TuluPreferences,
        converters.CapybaraLabels,
        converters.UltraInteract,
        converters.RewardBench,
        converters.RewardBench2,
        converters.RmBench,
        converters.JudgeBench,
        converters.LlmBar,
        converters.ComparedAnswers,
        converters.PpePreference,
        converters.PpeBestOfK,
        converters.Nectar,
        converters.StackExchangePreferences,
        converters.StackExchangePaired,
        converters.Shp,
        converters.ProcessBench,
        converters.PrmBench,
        converters.BigBenchMistake,
        converters.Solutions,
    ]


@hookimpl
def provide_score_transforms() -> Iterable[type[transforms.ScoreTransform]]:
    """Return the built-in score transforms."""
    return [transforms.Standardize, transforms.Clip]
