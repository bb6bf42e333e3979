"""Our own plugin: what is built in comes in through the same hooks as a stranger's."""

from collections.abc import Iterable

from rlhf_losses import converters, losses
from rlhf_losses.hooks.markers import hookimpl


@hookimpl
def provide_losses() -> Iterable[type[losses.Loss]]:
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
    ]
