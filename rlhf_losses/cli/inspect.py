"""`rlhf-losses inspect`: statistics of a dataset and the losses that can be trained on it."""

import contextlib
import json
import re
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from transformers import AutoConfig, AutoTokenizer, PreTrainedTokenizerBase

from rlhf_losses.cli.argument_parser import ArgumentParser, CommandLineError
from rlhf_losses.cli.report_argument import add_report_argument, requested_report, write_report
from rlhf_losses.cli.scorer_arguments import add_dataset_arguments, selected_rows
from rlhf_losses.cli.tables import key_value_table, make_table, render_table
from rlhf_losses.data import LengthLimit
from rlhf_losses.data.conversion import convert_rows
from rlhf_losses.errors import counted_from_0, first_line
from rlhf_losses.files.columns import columns_in_use, parse_columns
from rlhf_losses.hooks import loss_registry
from rlhf_losses.inspection import DatasetReport, inspect_dataset
from rlhf_losses.inspection.annotated_examples import annotated_examples
from rlhf_losses.inspection.compatible_losses import CompatibleLosses
from rlhf_losses.inspection.feedback_values import feedback_values
from rlhf_losses.models.architectures import max_context_length
from rlhf_losses.report.dataset_sections import SHOWN, InspectedDataset
from rlhf_losses.report.report_file import Report
from rlhf_losses.training import RewardConfig

WIDTH = 110
"""Width of lists of names, in characters."""

NO_BREAK = "\0"
"""A character for a space at which no line ends."""

NO_LIMIT = 10**9
"""Number of tokens from which a tokenizer has no limit."""

SHOWN_ROWS, SHOWN_PROBLEMS = 10, 10
"""Largest number of rows of one problem, and of problems, that are listed."""


def build_parser() -> ArgumentParser:
    """Return the parser of the command."""
    parser = ArgumentParser(
        prog="rlhf-losses inspect", description="Show statistics of a dataset and the losses that can be trained on it."
    )
    add_dataset_arguments(parser)
    parser.add_argument("--model", "--tokenizer", help="model or tokenizer (folder or Hub id), for lengths in tokens")
    parser.add_argument("--json", action="store_true", help="print a JSON object")
    add_report_argument(parser, "into the current folder")
    return parser


def run(argv: list[str], plugins: tuple[str, ...]) -> None:
    """Print the report as text or as JSON."""
    args = build_parser().parse(argv)
    file = requested_report(args.report, None, "inspect")
    tokenizer = None if args.model is None else load_tokenizer(args.model)
    limit = None if tokenizer is None else length_limit(args.model, tokenizer)
    given = selected_rows(args)
    conversion = convert_rows(given, args.converter, args.dataset, plugins)
    rows = conversion.rows
    with columns_in_use(parse_columns(args.columns)):
        report = inspect_dataset(rows, loss_registry(plugins), tokenizer, args.dataset, limit, given)
        report = replace(report, not_converted=conversion.dropped)
        print(json.dumps(report.to_dict(), indent=2) if args.json else format_report(report))
        if file is not None:
            examples = annotated_examples(rows, SHOWN, report.valid_rows())
            dataset = InspectedDataset(Path(args.dataset).name, report, examples)
            write_report(Report(datasets=[dataset]), file, to_stderr=args.json)


def load_tokenizer(name: str) -> PreTrainedTokenizerBase:
    """Load the tokenizer for lengths in tokens.

    Args:
        name: folder or Hub id.

    Raises:
        CommandLineError: it cannot be loaded.
    """
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    except Exception as error:  # a damaged file can cause any error in any of the libraries
        raise CommandLineError(
            f"The tokenizer '{name}' cannot be loaded: {first_line(error)}. Check the name after --model."
        ) from error
    return tokenizer


def length_limit(name: str, tokenizer: PreTrainedTokenizerBase) -> LengthLimit:
    """Return the largest number of tokens of a text with which `rlhf-losses train` uses a model by default.

    Args:
        name: folder or Hub id of the model, or of the tokenizer alone.
        tokenizer: the tokenizer, whose limit counts if there is no model.
    """
    context, source = tokenizer_limit(tokenizer), "the limit of the tokenizer"
    with contextlib.suppress(OSError, ValueError):  # a tokenizer without a model
        config = AutoConfig.from_pretrained(name, trust_remote_code=False)
        context, source = max_context_length(config), "the context of the model"
    default = RewardConfig.max_length
    if context is not None and default is not None and default < context:
        return LengthLimit(default, "the default of max_length in training")
    return LengthLimit(context, source)


def tokenizer_limit(tokenizer: PreTrainedTokenizerBase) -> int | None:
    """Return the largest number of tokens of a text, or None if the tokenizer has no limit, which it writes as 1e30."""
    limit = int(tokenizer.model_max_length)
    return limit if limit < NO_LIMIT else None


def format_report(report: DatasetReport) -> str:
    """Return the report as text: counts, one block per feedback type, lengths and losses."""
    counts = {
        "rows": report.rows,
        **({"not judged": f"{report.not_converted} further rows"} if report.not_converted else {}),
        **({"without feedback": report.without_feedback} if report.without_feedback else {}),
        "columns": ", ".join(report.columns),
        "prompts": report.prompts or "none apart from the answers",
        "duplicate rows": report.duplicate_rows,
    }
    if report.side_bias is not None:
        counts["first answer preferred"] = report.side_bias.describe()
    if report.annotators.column is not None:
        counts["annotators"] = f"{report.annotators.count} in the column {report.annotators.column}"
    blocks = [
        format_invalid_rows(report),
        render_table(key_value_table(counts)),
        *(filled(text) for text in report.text_problems.sentences().values()),
        filled(report.unread_verdict.describe()) if report.unread_verdict else "",
        filled(report.annotators.assumption),
        *(
            f"{name}\n{textwrap.indent(render_table(key_value_table(feedback_values(statistics))), '  ')}"
            for name, statistics in report.feedback.items()
        ),
        format_lengths(report),
        filled(report.overlong.describe()) if report.overlong else "",
        filled(report.lost.describe()) if report.lost and report.lost.is_notable else "",
        format_losses(report.losses),
    ]
    return "\n\n".join(filter(None, blocks))


def format_invalid_rows(report: DatasetReport) -> str:
    """Return the rows that training refuses, or an empty text if there are none."""
    if not report.invalid:
        return ""
    count = sum(len(one.rows) for one in report.invalid)
    lines = [
        f"{len(one.rows)} ({', '.join(map(str, one.rows[:SHOWN_ROWS]))}{', …' if len(one.rows) > SHOWN_ROWS else ''}): "
        f"{one.problem}"
        for one in report.invalid[:SHOWN_PROBLEMS]
    ]
    lines += ["and other problems"] if len(report.invalid) > SHOWN_PROBLEMS else []
    return "\n".join(
        [
            f"{count} of {count + report.rows} rows are invalid, and training refuses them. The rest of this report is "
            "without them. The numbers in parentheses are rows.",
            *(textwrap.indent(textwrap.fill(line, WIDTH), "  ") for line in lines),
            f"({counted_from_0(report.invalid[0].rows[0])})",
        ]
    )


def filled(text: str) -> str:
    r"""Return a text in lines; a flag and its value stay in one line.

    Args:
        text: sentences.

    Examples:
        >>> print(filled("To read it, which " + "the report does not, " * 4 + "write --columns 'winner=best one'."))
        To read it, which the report does not, the report does not, the report does not, the report does not, write
        --columns 'winner=best one'.
    """
    whole = re.sub(r"--\w+ (?:'[^']*'|\S+)", lambda flag: flag[0].replace(" ", NO_BREAK), text)
    return textwrap.fill(whole, WIDTH, break_on_hyphens=False, break_long_words=False).replace(NO_BREAK, " ")


def format_lengths(report: DatasetReport) -> str:
    """Return the length statistics as a table, or an empty text if there are none."""
    summaries = {
        f"{name} ({unit})": asdict(summary)
        for unit, group in (("characters", report.characters), ("tokens", report.tokens))
        for name, summary in group.items()
    }
    if not summaries:
        return ""
    rows = [[name, *(f"{value:z.0f}" for value in summary.values())] for name, summary in summaries.items()]
    header = ["LENGTH", *(title.upper() for title in next(iter(summaries.values())))]
    return render_table(make_table(rows, header=header, right=range(1, len(header))))


def format_losses(losses: CompatibleLosses) -> str:
    """Return the losses that can be trained on the dataset, the regularizers, and why others cannot be trained."""
    blocks = [
        format_names("Compatible losses", losses.losses),
        format_names("Regularizers to add to one of them", losses.regularizers),
    ]
    if losses.incompatible:
        lines = [f"  {named_reason(name, reason)}" for name, reason in losses.incompatible.items()]
        blocks.append("\n".join(["Incompatible losses:", *lines]))
    return "\n\n".join(blocks)


def named_reason(name: str, reason: str) -> str:
    """Return why a loss does not fit, with its name once.

    Examples:
        >>> named_reason("hinge", "hinge needs pairs."), named_reason("hinge", "No row has pairs.")
        ('hinge needs pairs.', 'hinge: No row has pairs.')
    """
    return reason if reason.startswith(f"{name} ") else f"{name}: {reason}"


def format_names(title: str, names: Sequence[str]) -> str:
    """Return names below a title.

    Examples:
        >>> print(format_names("Losses", ["hinge", "eurus"]))
        Losses:
          hinge, eurus
    """
    lines = textwrap.fill(", ".join(names) or "none", WIDTH, break_on_hyphens=False)
    return f"{title}:\n{textwrap.indent(lines, '  ')}"
