"""`rlhf-losses inspect`: what a dataset holds, and which losses read it, before anything is trained."""

import json
import textwrap
from typing import Any

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from rlhf_losses.cli.argument_parser import ArgumentParser, CommandLineError
from rlhf_losses.cli.scorer_arguments import CONVERTER, add_rows, rows_of
from rlhf_losses.data.conversion import convert_dataset
from rlhf_losses.hooks import loss_registry
from rlhf_losses.inspection import inspect

WIDTH = 110


def run(argv: list[str], plugins: tuple[str, ...]) -> None:
    """Print the findings about a dataset as text or as JSON."""
    parser = ArgumentParser(
        prog="rlhf-losses inspect", description="Tell what a dataset holds and which losses read it."
    )
    add_rows(parser)
    parser.add_argument("--converter", help=CONVERTER)
    parser.add_argument("--model", "--tokenizer", help="model or tokenizer (folder or hub id) to count tokens with")
    parser.add_argument("--json", action="store_true", help="print a JSON object")
    args = parser.parse(argv)
    tokenizer = None if args.model is None else load_tokenizer(args.model)
    rows = convert_dataset(rows_of(args), args.converter, args.dataset, plugins)
    found = inspect(rows, loss_registry(plugins), tokenizer, args.dataset)
    print(json.dumps(found, indent=2) if args.json else told(found))


def load_tokenizer(name: str) -> PreTrainedTokenizerBase:
    """Load the tokenizer that counts tokens."""
    try:
        return AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0].rstrip(".: ")
        raise CommandLineError(
            f"'{name}' holds no tokenizer that can be loaded: {reason}. Check the name after --model."
        ) from error


def told(found: dict[str, Any]) -> str:
    """Return the findings as text: counts, one block a kind of feedback, lengths, losses."""
    counts = {
        "rows": found["rows"],
        "columns": ", ".join(found["columns"]),
        "prompts": found["prompts"] or "none beside the answers",
        "duplicate rows": found["duplicate_rows"],
    }
    blocks = [
        two_columns(counts),
        *(f"{kind}\n{textwrap.indent(of_kind(said), '  ')}" for kind, said in found["feedback"].items()),
        lengths(found),
        losses(found),
    ]
    return "\n\n".join(filter(None, blocks))


def of_kind(said: dict[str, Any]) -> str:
    """Tell what was counted for one kind of feedback."""
    lines: dict[str, Any] = {"items": f"{said['items']} in {said['rows']} rows"}
    if "good" in said:
        lines["labelled good"] = share(said["good"], said["items"])
    if "comparisons" in said:
        lines["comparisons of two answers"] = said["comparisons"]
        lines["ties"] = share(said["ties"], said["comparisons"])
        lines["two equal answers"] = said["equal_answers"]
    longer = said.get("longer_preferred")
    if longer:
        lines["longer answer preferred"] = (
            f"{longer['share']:.1%} (95% interval {longer['low']:.1%} to {longer['high']:.1%})"
        )
    return two_columns(lines | agreement(said))


def agreement(said: dict[str, Any]) -> dict[str, Any]:
    """Tell how far annotators agree, and what that leaves for a scorer."""
    if "agreement_ceiling" not in said:
        return {}
    bound = "" if said["ceilings_exact"] else " at most"
    if not said["annotated_several_times"]:
        bound += " (nothing was annotated twice)"
    return {
        "annotated several times": said["annotated_several_times"],
        "contradictory": said["contradictory"],
        "two annotators agree": percent(said["agreement_of_two_annotators"]),
        "best agreement with annotators": percent(said["agreement_ceiling"]) + bound,
        "best accuracy in `evaluate`": percent(said["accuracy_ceiling"]) + bound,
    }


def lengths(found: dict[str, Any]) -> str:
    """Return the lengths as a table."""
    rows = {f"{what} (characters)": said for what, said in found["characters"].items()}
    rows |= {f"{what} (tokens)": said for what, said in found["tokens"].items() if said}
    if not rows:
        return ""
    head = ["LENGTH", "MIN", "MEDIAN", "MEAN", "P95", "MAX"]
    cells = [head, *([what, *(f"{value:.0f}" for value in said.values())] for what, said in rows.items())]
    widths = [max(len(line[i]) for line in cells) for i in range(len(head))]
    return "\n".join(
        "  ".join([line[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(line[1:], widths[1:], strict=True))])
        for line in cells
    )


def losses(found: dict[str, Any]) -> str:
    """Name the losses that read the data, what may be added to them, and why others refuse them."""
    blocks = [
        named("Losses that read it", found["losses"]),
        named("Regularizers to add to one of them", found["regularizers"]),
    ]
    refusing = [f"  {name}: {why}" for name, why in found["losses_that_refuse"].items()]
    if refusing:
        blocks.append("\n".join(["Losses that refuse it:", *refusing]))
    return "\n\n".join(blocks)


def named(what: str, names: list[str]) -> str:
    """Return names below what they are.

    >>> print(named("Losses", ["hinge", "eurus"]))
    Losses:
      hinge, eurus
    """
    return f"{what}:\n{textwrap.indent(textwrap.fill(', '.join(names) or 'none', WIDTH, break_on_hyphens=False), '  ')}"


def two_columns(lines: dict[str, Any]) -> str:
    """Return names and values in two columns.

    >>> print(two_columns({"rows": 8, "duplicate rows": 0}))
    rows            8
    duplicate rows  0
    """
    width = max(map(len, lines))
    return "\n".join(f"{name:<{width}}  {value}" for name, value in lines.items())


def share(part: int, whole: int) -> str:
    """Return a count with its share.

    >>> share(1, 8)
    '1 (12.5%)'
    """
    return f"{part} ({part / whole:.1%})" if whole else str(part)


def percent(value: float | None) -> str:
    """Return a share in percent, or a dash where it is not known."""
    return "-" if value is None else f"{value:.1%}"
