"""Generate the documentation of losses: a page and a picture for each loss, the gallery, and the tables of
choosing-a-loss.md.

python docs/generate_losses.py [--check]
"""

import csv
import inspect
import re
import sys
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from loss_pictures import drawing, hash_of, picture_of

from rlhf_losses.cli.docstring import Docstring, parse_docstring
from rlhf_losses.cli.list_losses import convertible_types
from rlhf_losses.feedback import FEEDBACK_TYPES, IMPLICIT_TYPES, Feedback, Pairs, Rankings, StepwiseRankings
from rlhf_losses.hooks.builtins import provide_losses
from rlhf_losses.hooks.contracts import LossClass
from rlhf_losses.losses import NamedObjective
from rlhf_losses.losses.options import format_option

DOCS = Path(__file__).parent
CHOOSING = DOCS / "choosing-a-loss.md"
PAGES = DOCS / "reference" / "losses"
PICTURES = PAGES / "pictures"
RUNTIME = DOCS.parent / "benchmarks" / "results" / "losses" / "runtime.csv"

WEIGHTS = {"batch_sum_to_zero": 0.1, "length_decorrelation": 1.0}
"""Weights of regularizers in examples, as in choosing-a-loss.md; of the others 0.01."""

COLUMN_WORDS = {
    "`margin`": r"\b[Mm]argins?\b",
    "`preference`": r"\b[Pp]references?\b",
    "ties": r"\b[Tt]i(e|es|ed)\b|equal grades",
    "`weight`": r"\b[Ww]eights?\b",
}
"""Words by which a clause of a docstring is about a column of pairs, or about ties."""

PROMPT = "Legs of a spider? "
PAIR_ROWS = (
    {"prompt": PROMPT, "chosen": "Eight.", "rejected": "Six."},
    {"prompt": "Is ice lighter than water? ", "chosen": "Yes, it floats.", "rejected": "No."},
)
ROWS = {
    "Pairs": PAIR_ROWS,
    "Feedback": PAIR_ROWS,
    "Lengths": PAIR_ROWS,
    "rao_kupper": (*PAIR_ROWS, {"prompt": PROMPT, "chosen": "Eight.", "rejected": "It has 8.", "tie": 1.0}),
    "davidson": (*PAIR_ROWS, {"prompt": PROMPT, "chosen": "Eight.", "rejected": "It has 8.", "tie": 1.0}),
    "ordinal_preference": (
        {"prompt": PROMPT, "chosen": "Eight.", "rejected": "Six.", "margin": 3},
        {"prompt": PROMPT, "chosen": "Eight.", "rejected": "More than six.", "margin": 1},
        {"prompt": PROMPT, "chosen": "Eight.", "rejected": "It has 8.", "margin": 0},
    ),
    "Rankings": (
        {"prompt": PROMPT, "completions": ["Eight.", "More than six.", "Six."], "ranks": [1, 2, 3]},
        {"prompt": PROMPT, "completions": ["It has 8.", "Eight.", "Ten."], "ranks": [1, 1, 2]},
    ),
    "Ratings": (
        {"prompt": PROMPT, "completion": "Eight.", "rating": 0.9},
        {"prompt": PROMPT, "completion": "More than six.", "rating": 0.2},
        {"prompt": PROMPT, "completion": "Six.", "rating": -1.0},
    ),
    "ordinal_rating": (
        {"prompt": PROMPT, "completion": "Eight.", "rating": 5},
        {"prompt": PROMPT, "completion": "More than six.", "rating": 3},
        {"prompt": PROMPT, "completion": "Six.", "rating": 1},
    ),
    "Attributes": (
        {"prompt": PROMPT, "completion": "Eight.", "attributes": {"helpfulness": 4, "correctness": 4}},
        {"prompt": PROMPT, "completion": "Six.", "attributes": {"helpfulness": 1, "correctness": 0}},
    ),
    "Labels": (
        {"prompt": PROMPT, "completion": "Eight.", "label": True},
        {"prompt": PROMPT, "completion": "Six.", "label": False},
    ),
    "Steps": (
        {"prompt": "2 * 3 + 4 = ", "completions": ["2 * 3 = 6.", " 6 + 4 = 10."], "labels": [True, True]},
        {"prompt": "2 * 3 + 4 = ", "completions": ["2 * 3 = 6.", " 6 + 4 = 11."], "labels": [True, False]},
    ),
    "segment_rating": (
        {"prompt": "2 * 3 + 4 = ", "completions": ["2 * 3 = 6.", " 6 + 4 = 10."], "labels": [0.5, 1.0]},
        {"prompt": "2 * 3 + 4 = ", "completions": ["2 * 3 = 6.", " 6 + 4 = 11."], "labels": [0.5, -1.0]},
    ),
    "StepwiseRankings": (
        {"prompt": "2 * 3 + 4 = ", "chosen_steps": ["2 * 3 = 6.", " 6 + 4 = 10."], "rejected_steps": ["11."]},
        {"prompt": "1 + 1 = ", "chosen_steps": ["2."], "rejected_steps": ["1 and 1.", " So 11."]},
    ),
}
"""Rows of the snippets, by name of the loss or of its feedback type."""


def main() -> None:
    """Write what differs from the generated files, and delete pages and pictures of losses that no longer exist.

    With `--check`, exit with 1 and the names of these files instead.
    """
    generated, pictures = files(), stale_pictures()
    stale = [path for path, text in generated.items() if not path.exists() or path.read_text("utf-8") != text]
    known = {*generated, *(picture_path(cls) for cls in provide_losses())}
    surplus = [path for path in (*PAGES.glob("*.md"), *PICTURES.glob("*.svg")) if path not in known]
    if sys.argv[1:] == ["--check"]:
        sys.exit("\n".join(f"{path} is stale." for path in (*stale, *map(picture_path, pictures), *surplus)) or 0)
    PICTURES.mkdir(parents=True, exist_ok=True)
    for path in surplus:
        path.unlink()
    for path in stale:
        path.write_text(generated[path], encoding="utf-8")
    for cls in pictures:
        picture_path(cls).write_text(drawing(cls()), encoding="utf-8")


def picture_path(cls: type[LossClass]) -> Path:
    """Return the file of the picture of a loss."""
    return PICTURES / f"{cls.name()}.svg"


def stale_pictures() -> list[type[LossClass]]:
    """Return the losses whose picture is missing, or was drawn from other numbers."""

    def is_stale(cls: type[LossClass]) -> bool:
        path = picture_path(cls)
        return not path.is_file() or hash_of(cls()) not in path.read_text(encoding="utf-8")

    return [cls for cls in provide_losses() if is_stale(cls)]


def files() -> dict[Path, str]:
    """Return the content of every generated file."""
    choosing = CHOOSING.read_text(encoding="utf-8")
    parts = {"feedback types": feedback_table(), "runtime": runtime_summary(), "list lengths": list_length_table()}
    for name, part in parts.items():
        choosing = replace_part(choosing, name, part)
    pages = {PAGES / f"{cls.name()}.md": page(cls) for cls in provide_losses()}
    return {CHOOSING: choosing, PAGES / "index.md": gallery()} | pages


def page(cls: type[LossClass]) -> str:
    """Return the page of a loss."""
    loss, docstring = cls(), parse_docstring(cls)
    explanation, use = split_use(docstring.text)
    parts = [
        f"# {cls.name()}",
        markdown(docstring.summary, cls),
        f"```math\n{docstring.formula}\n```",
        markdown(explanation, cls),
        f"Equals `{loss.expand()}`." if isinstance(loss, NamedObjective) else "",
        f"![{picture_text(loss)}](pictures/{cls.name()}.svg)",
        f"## When to use it, and when not\n\n{markdown(use, cls)}",
        f"## Requirements\n\n{requirements(cls, docstring)}",
        f"## Train with it\n\n{snippet(cls)}",
        f"## Options\n\n{options(cls, docstring)}" if fields(cls) else "",
        f"## Loss parameters\n\n{loss_parameters(loss)}" if loss_parameters(loss) else "",
        f"## Properties\n\n{', '.join(loss.active_properties().words()) or 'none'}; see "
        "[the definitions](../../choosing-a-loss.md#properties)",
        f"## References\n\n{links(docstring.sections['References'])}",
        f"## Example\n\n```python\n{docstring.sections['Examples']}\n```",
        f"[Source]({source(cls)})",
        f"<!-- Generated by docs/generate_losses.py from the docstring of {cls.__name__}. -->",
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def source(cls: type[LossClass]) -> str:
    """Return the path of the source of a loss, relative to its page."""
    return f"../../../{cls.__module__.replace('.', '/')}.py"


def split_use(text: str) -> tuple[str, str]:
    """Return the paragraphs that explain the formula, and those that say when to use the loss."""
    paragraphs = text.split("\n\n")
    first = next(i for i, one in enumerate(paragraphs) if re.search(r"\b[Uu]se it\b|standard loss", one))
    return "\n\n".join(paragraphs[:first]), "\n\n".join(paragraphs[first:])


def picture_text(loss: LossClass) -> str:
    """Return a description of the picture of a loss."""
    return f"Value and gradient of {loss.name()}; horizontal: {picture_of(loss).axis}"


def gallery() -> str:
    """Return a page with the pictures of all losses by feedback type."""
    parts = [
        "# Losses",
        "Value (left) and gradient (right) of each loss with its default options, for the simplest feedback of its "
        "type. A click opens the page of the loss. [Choosing a loss](../../choosing-a-loss.md) compares them.",
    ]
    for feedback_type in (*FEEDBACK_TYPES, Feedback):
        types = IMPLICIT_TYPES if feedback_type is Feedback else (feedback_type,)
        losses = [cls for cls in provide_losses() if cls.feedback_type in types]
        if losses:
            pictures = "\n".join(
                f"[**{cls.name()}** ![{picture_text(cls())}](pictures/{cls.name()}.svg)]({cls.name()}.md)"
                for cls in losses
            )
            title = "Regularizers" if feedback_type is Feedback else feedback_type.__name__
            parts += [
                f"## {title}",
                f"{description(feedback_type)}.",
                '<div class="gallery" markdown>',
                pictures,
                "</div>",
            ]
    return "\n\n".join([*parts, "<!-- Generated by docs/generate_losses.py. -->"]) + "\n"


def requirements(cls: type[LossClass], docstring: Docstring) -> str:
    """Return a table of what a loss needs and what each column does, from the section Feedback of its docstring."""
    others = ", ".join(f"`{name}`" for name in convertible_types(cls))
    stated = stated_by_column(cls, docstring)
    rows = [("feedback", in_one_cell(markdown(stated.pop("feedback"), cls)))]
    if cls.feedback_type in FEEDBACK_TYPES:
        rows.append(("columns", columns(cls.feedback_type)))
    if others:
        rows.append((f"converted to `{cls.feedback_type.__name__}`", others))
    rows += [(name, in_one_cell(markdown(text, cls))) for name, text in stated.items()]
    if cls.feedback_type is not Pairs and cls.feedback_type in FEEDBACK_TYPES:
        rows.append(("`margin`, `weight`, `preference`", "columns of pairs only"))
    return table(("", ""), rows)


def stated_by_column(cls: type[LossClass], docstring: Docstring) -> dict[str, str]:
    """Return the clauses about the feedback as a whole, and those about each column and about ties."""
    clauses = re.split(r"(?<=[.;]) ", " ".join(docstring.sections["Feedback"].split()))
    topics = COLUMN_WORDS if cls.feedback_type is Pairs else {"ties": COLUMN_WORDS["ties"]}
    general = [one for one in clauses if not any(re.search(word, one) for word in topics.values())]
    name = cls.feedback_type.__name__
    names = ("Any", name, re.sub(r"(?<=.)([A-Z])", lambda upper: f" {upper[0].lower()}", name))
    described = description(Feedback if cls.feedback_type in IMPLICIT_TYPES else cls.feedback_type)
    stated = {"feedback": [f"{described}.", *(one for one in general if one[:-1] not in names)]}
    stated |= {topic: [one for one in clauses if re.search(word, one)] for topic, word in topics.items()}
    needs_all = cls.feedback_type in (Pairs, Rankings, StepwiseRankings)
    missing = [topic for topic, texts in stated.items() if not texts and needs_all]
    if missing:
        sys.exit(f"The section Feedback of {cls.__name__} does not state what {missing[0]} does. Add a sentence.")
    topics_of_text: dict[str, list[str]] = {}
    for topic, texts in stated.items():
        if texts:
            text = " ".join(f"{one[0].upper()}{one[1:-1]}." for one in texts)
            topics_of_text.setdefault(text, []).append(topic)
    return {", ".join(topics): text for text, topics in topics_of_text.items()}


def in_one_cell(text: str) -> str:
    """Return text without line breaks."""
    return " ".join(text.split())


def snippet(cls: type[LossClass]) -> str:
    """Return the code that trains with a loss, in Python and on the command line."""
    name = cls.name()
    with_loss = f"bradley_terry + {WEIGHTS.get(name, 0.01)} * {name}"
    loss, imported = (name, name) if cls().uses_labels else (with_loss, f"bradley_terry, {name}")
    rows = ROWS.get(name) or ROWS[cls.feedback_type.__name__]
    listed = "".join(f"    {row!r},\n" for row in rows).replace("'", '"')
    return f"""```python
from datasets import Dataset

from rlhf_losses import RewardConfig, RewardTrainer, {imported}

rows = [
{listed}]
trainer = RewardTrainer(
    model="my-model",
    args=RewardConfig("reward", bf16=False),
    train_dataset=Dataset.from_list(rows),
    loss={loss},
)
trainer.train()
```

```console
rlhf-losses train --model my-model --dataset rows.jsonl \\
  --loss "{loss}" --output_dir reward
```"""


def options(cls: type[LossClass], docstring: Docstring) -> str:
    """Return a Markdown table of the options of a loss, with default, domain and description."""
    rows = [
        (
            f"`{f.name}`",
            f"`{format_option(f.default)}`",
            str(f.metadata.get("domain", "")),
            " ".join(markdown(docstring.arguments[f.name], cls).split()),
        )
        for f in fields(cls)
    ]
    return table(("option", "default", "values", "description"), rows)


def loss_parameters(loss: LossClass) -> str:
    """Return a table of the trainable parameters with their initial values, or an empty string."""
    rows = [
        (f"`{name}`", ", ".join(f"{value:g}" for value in values))
        for term in loss.as_objective().terms
        for name, values in term.loss.loss_parameters.items()
    ]
    return table(("parameter", "initial values"), rows) if rows else ""


def markdown(text: str, cls: type[LossClass]) -> str:
    """Return docstring text with inline formulas in the syntax of GitHub, and links to the pages of other losses."""
    names = {other.name() for other in provide_losses()} - {cls.name()}
    linked = re.sub(r"`(\w+)`", lambda found: f"[{found[0]}]({found[1]}.md)" if found[1] in names else found[0], text)
    return re.sub(r"\$([^$]+)\$", r"$`\1`$", linked)


def links(text: str) -> str:
    """Return text in which URLs are links."""
    return re.sub(r"https://[^\s;,]+", lambda found: f"<{found[0]}>", text)


def feedback_table() -> str:
    """Return a table of the feedback types and their losses."""
    rows = [
        (description(one), columns(one), losses_of(one), coarser_types(one))
        for one in (*FEEDBACK_TYPES, Feedback)
        if one is Feedback or losses_of(one) or coarser_types(one)
    ]
    return table(("feedback", "columns", "losses", "converts to"), rows)


def description(feedback_type: type[Feedback]) -> str:
    """Return the name of a feedback type, and its description from the first line of its module."""
    if feedback_type is Feedback:
        return "**Any**: regularizers, which do not depend on the annotations"
    first_line = (inspect.getdoc(inspect.getmodule(feedback_type)) or "").splitlines()[0]
    return f"**{feedback_type.__name__}**: {first_line.partition(': ')[2].rstrip('.')}"


def columns(feedback_type: type[Feedback]) -> str:
    """Return the columns of a feedback type as Markdown."""
    alternatives = " or ".join("`" + "`, `".join(names) + "`" for names in feedback_type.columns)
    optional = f"; optional `{'`, `'.join(feedback_type.optional_columns)}`" if feedback_type.optional_columns else ""
    return alternatives + optional


def losses_of(feedback_type: type[Feedback]) -> str:
    """Return links to the losses of exactly this feedback type."""
    types = IMPLICIT_TYPES if feedback_type is Feedback else (feedback_type,)
    names = [cls.name() for cls in provide_losses() if cls.feedback_type in types]
    return ", ".join(f"[`{name}`](reference/losses/{name}.md)" for name in names)


def coarser_types(feedback_type: type[Feedback]) -> str:
    """Return the types that a feedback type converts to."""
    names, coarser = [], feedback_type.coarser_type
    while coarser is not None:
        names.append(f"`{coarser.__name__}`")
        coarser = coarser.coarser_type
    return ", ".join(names)


def runtime_summary() -> str:
    """Return a paragraph on the run time of losses as a share of that of two models.

    The numbers are those of `benchmarks/results/losses/runtime.csv`.
    """
    rows = [row for row in measurements() if not row["length"]]
    fastest, slowest = (f(rows, key=lambda row: float(row["microseconds_per_item"])) for f in (min, max))
    times = [f"{float(row['microseconds_per_item']):.0f} µs (`{row['loss']}`)" for row in (fastest, slowest)]
    shares = [f"{max(float(row[f'share_of_{size}']) for row in rows):.2%}" for size in ("tiny", "16M")]
    return textwrap.fill(
        f"Forward and backward pass of one item take {times[0]} to {times[1]} in batches of {rows[0]['rows']} rows. "
        f"That is at most {shares[0]} of the time of a model with two layers of width 32 on the same number of texts "
        f"with 128 tokens, and at most {shares[1]} of the time of a model with 16 million parameters. "
        f"({rows[0]['machine']}; the machine was shared with other jobs.)",
        width=120,
    )


def list_length_table() -> str:
    """Return a Markdown table of the measured run time of listwise losses by the length of the lists."""
    rows = [row for row in measurements() if row["length"]]
    lengths = list(dict.fromkeys(row["length"] for row in rows))
    time = {(row["loss"], row["length"]): float(row["microseconds_per_item"]) for row in rows}
    exponents = {row["loss"]: row["exponent"] for row in rows}
    lines = [
        (f"`{loss}`", *(three_digits(time[loss, length]) for length in lengths), exponent)
        for loss, exponent in exponents.items()
    ]
    return table(("µs per list of length", *lengths, "exponent"), lines)


def three_digits(number: float) -> str:
    """Return a number with three significant digits."""
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def measurements() -> list[dict[str, str]]:
    """Return the rows that benchmarks/losses/runtime.py wrote."""
    return list(csv.DictReader(RUNTIME.read_text(encoding="utf-8").splitlines()))


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |".replace("|  |", "| |") for cells in lines)


def replace_part(text: str, name: str, new: str) -> str:
    """Return text in which the part between two comments is replaced."""
    begin, end = f"<!-- {name}: generated by docs/generate_losses.py -->", f"<!-- {name}: end -->"
    if begin not in text or end not in text:
        sys.exit(f"docs/choosing-a-loss.md has no part '{name}', so it cannot be replaced. Insert {begin} and {end}.")
    before, _, rest = text.partition(begin)
    return f"{before}{begin}\n\n{new}\n\n{end}{rest.partition(end)[2]}"


if __name__ == "__main__":
    main()
