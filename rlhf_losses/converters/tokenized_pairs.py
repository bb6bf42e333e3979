"""Pairs tokenized for earlier versions of TRL."""

from rlhf_losses.converters.base import DatasetConverter
from rlhf_losses.feedback.base import Row
from rlhf_losses.feedback.pairs import Pairs

SIDES = ("chosen", "rejected")


class TokenizedPairs(DatasetConverter):
    """Tokenized `Pairs` with the column names of earlier TRL versions. Padding is removed if there is a mask."""

    columns = (("chosen_input_ids", "rejected_input_ids"), ("input_ids_chosen", "input_ids_rejected"))
    source = "https://huggingface.co/docs/trl/v0.11.0/reward_trainer"

    def convert(self, row: Row) -> list[Row]:
        kept = {name: row[name] for name in Pairs.optional_columns if name in row}
        return [{f"{side}_ids": _token_ids(row, side) for side in SIDES} | kept]


def _token_ids(row: Row, side: str) -> list[int]:
    name = "{}_{}" if f"{side}_input_ids" in row else "{1}_{0}"
    ids, mask = row[name.format(side, "input_ids")], row.get(name.format(side, "attention_mask"))
    return list(ids) if mask is None else [token for token, kept in zip(ids, mask, strict=True) if kept]
