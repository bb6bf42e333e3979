"""What came of one run of the loop."""

from dataclasses import dataclass, field
from typing import Any

REPORTED = ("loss", "accuracy", "gold_before", "gold_after", "gold_gain_ci", "kl", "seconds", "seed")


@dataclass(frozen=True)
class Step:
    """What one step of PPO logged: mean proxy reward, mean gold, and KL in nats a completion."""

    step: int
    proxy: float
    gold: float
    kl: float


@dataclass(frozen=True)
class Outcome:
    """The measures of one loss.

    `accuracy` is the reward model's, on held-out pairs that gold decides; gold is a mean over held-out prompts,
    its gain with a 95 % confidence interval over them; `kl` is to the reference, in nats a completion.
    """

    loss: str
    accuracy: float
    gold_before: float
    gold_after: float
    gold_gain_ci: tuple[float, float]
    kl: float
    seconds: float
    seed: int
    steps: list[Step] = field(default_factory=list, repr=False)
    completions: list[dict[str, str]] = field(default_factory=list, repr=False)

    def to_json(self) -> dict[str, Any]:
        """Return the measures as what JSON can hold."""
        return {name: getattr(self, name) for name in REPORTED} | {"gold_gain_ci": list(self.gold_gain_ci)}
