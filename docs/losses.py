"""Write what the docs tell of losses, from the loss_registry: a page for each, and the tables of choosing-a-loss.md.

python docs/losses.py
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

from rlhf_losses.cli.describe import columns
from rlhf_losses.cli.docstring import Docstring, read_docstring
from rlhf_losses.cli.list_losses import also_reads, domain, reads
from rlhf_losses.feedback import FEEDBACK_TYPES, IMPLICIT_TYPES, Feedback
from rlhf_losses.hooks.builtins import provide_losses
from rlhf_losses.losses import Loss, NamedObjective
from rlhf_losses.losses.options import written

DOCS = Path(__file__).parent
CHOOSING = DOCS / "choosing-a-loss.md"
PAGES = DOCS / "reference" / "losses"
MEASURED = DOCS.parent / "benchmarks" / "results" / "losses.csv"


def main() -> None:
    """Write every file that is not as it should be."""
    PAGES.mkdir(parents=True, exist_ok=True)
    for path in set(PAGES.glob("*.md")) - set(files()):
        path.unlink()
    for path, text in files().items():
        path.write_text(text, encoding="utf-8")


def files() -> dict[Path, str]:
    """Return every file that is written here, with what belongs into it."""
    choosing = CHOOSING.read_text(encoding="utf-8")
    for name, table in {"you have": you_have(), "beside models": beside_models(), "growth": growth_table()}.items():
        choosing = between_marks(choosing, name, table)
    return {CHOOSING: choosing} | {PAGES / f"{kind.name()}.md": page(kind) for kind in provide_losses()}


def page(kind: type[Loss]) -> str:
    """Return the page of a loss."""
    loss, doc = kind(), read_docstring(kind, within_text=r"$`\1`$")
    parts = [
        f"# {kind.name()}",
        doc.text.partition("\n\n")[0],
        f"```math\n{doc.formula}\n```",
        doc.text.partition("\n\n")[2],
        f"Stands for `{loss.expand()}`." if isinstance(loss, NamedObjective) else "",
        f"## Feedback\n\n{feedback(kind, doc)}",
        f"## Options\n\n{options(kind, doc)}" if fields(kind) else "",
        f"## Learned beside the model\n\n{learned(loss)}" if loss.loss_parameters else "",
        f"## Properties\n\n{', '.join(loss.properties.words()) or 'none'}; [what they mean](../../choosing-a-loss.md#properties)",
        f"## Relations\n\n{linked(doc.sections['Relations'], kind)}",
        f"## Source\n\n{links(doc.sections['Reference'])}",
        f"## Example\n\n```python\n{doc.sections['Example']}\n```",
        f"<!-- Written by docs/losses.py from the docstring of {kind.__name__}. -->",
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def feedback(kind: type[Loss], doc: Docstring) -> str:
    """Return what a loss reads, and from which columns."""
    above = [f"`{name}`" for name in also_reads(kind)]
    lines = [
        doc.sections["Feedback"],
        columns(kind.feedback_type) if kind.feedback_type in FEEDBACK_TYPES else "",
        f"Also reads {', '.join(above)}, as `{reads(kind)}`." if above else "",
    ]
    return "\n\n".join(filter(None, lines))


def options(kind: type[Loss], doc: Docstring) -> str:
    """Return the options in a table, and what the docstring says of them."""
    rows = [(f"`{f.name}`", f"`{written(f.default)}`", domain(f)) for f in fields(kind)]
    told = re.split(r"^(?=`\w+`)", doc.sections.get("Options", ""), flags=re.MULTILINE)
    listed = ["* " + text.strip().replace("\n", "\n  ") for text in told if text.strip()]
    return "\n\n".join([table(("option", "default", "domain"), rows), "\n".join(listed)])


def learned(loss: Loss) -> str:
    """Return the numbers that a loss learns, with what they start from."""
    starts = [(f"`{name}`", ", ".join(f"{value:g}" for value in start)) for name, start in loss.loss_parameters.items()]
    return table(("number", "starts from"), starts)


def linked(text: str, kind: type[Loss]) -> str:
    """Return text in which the names of other losses score_difference to their pages."""
    names = {other.name() for other in provide_losses()} - {kind.name()}
    return re.sub(r"`(\w+)`", lambda found: f"[{found[0]}]({found[1]}.md)" if found[1] in names else found[0], text)


def links(text: str) -> str:
    """Return text in which addresses are links."""
    return re.sub(r"https://[^\s;,]+", lambda found: f"<{found[0]}>", text)


def you_have() -> str:
    """Return which losses read which feedback."""
    rows = [
        (said(kind), ways(kind), made_for(kind), convert_to(kind))
        for kind in (*FEEDBACK_TYPES, Feedback)
        if kind is Feedback or made_for(kind) or convert_to(kind)
    ]
    return table(("you have", "columns", "losses made for it", "also, read as"), rows)


def said(kind: type[Feedback]) -> str:
    """Return what a kind of feedback is, as its module says in its first line."""
    if kind is Feedback:
        return "**anything**: regularizers, which ask for no feedback"
    first = (inspect.getmodule(kind).__doc__ or "").splitlines()[0]  # type: ignore[union-attr]
    return f"**{kind.__name__}**: {first.partition(': ')[2].rstrip('.')}"


def ways(kind: type[Feedback]) -> str:
    """Return the columns that hold a kind of feedback."""
    written = ["`" + "`, `".join(way) + "`" for way in kind.columns]
    optional = f"; optional `{'`, `'.join(kind.optional_columns)}`" if kind.optional_columns else ""
    return " or ".join(written) + optional


def made_for(kind: type[Feedback]) -> str:
    """Return the losses that read this kind, each with a link to its page."""
    kinds = IMPLICIT_TYPES if kind is Feedback else (kind,)
    losses = [loss.name() for loss in provide_losses() if loss.feedback_type in kinds]
    return ", ".join(f"[`{name}`](reference/losses/{name}.md)" for name in losses)


def convert_to(kind: type[Feedback]) -> str:
    """Return the kinds that this one goes down to."""
    below, down = [], kind.coarser_type
    while down is not None:
        below.append(f"`{down.__name__}`")
        down = down.coarser_type
    return ", ".join(below)


def beside_models() -> str:
    """Return what losses were measured to cost beside models, in a sentence."""
    rows = [row for row in measured() if not row["length"]]
    cheap, dear = (f(rows, key=lambda row: float(row["microseconds_an_item"])) for f in (min, max))
    costs = [f"{float(row['microseconds_an_item']):.0f} µs (`{row['loss']}`)" for row in (cheap, dear)]
    most = [f"{max(float(row[f'share_of_{size}']) for row in rows):.2%}" for size in ("tiny", "16M")]
    return textwrap.fill(
        f"In batches of {rows[0]['rows']} rows, an item costs {costs[0]} to {costs[1]}, forward and backward. That "
        f"is at most {most[0]} of the time of a model of two layers of width 32 on as many texts of 128 tokens, and at "
        f"most {most[1]} of one of 16 million weights. ({rows[0]['machine']}; the machine was shared with other work.)",
        width=120,
    )


def growth_table() -> str:
    """Return how losses of lists were measured to grow with the list."""
    rows = [row for row in measured() if row["length"]]
    lengths = list(dict.fromkeys(row["length"] for row in rows))
    cost = {(row["loss"], row["length"]): float(row["microseconds_an_item"]) for row in rows}
    told = [
        (f"`{loss}`", *(rounded(cost[loss, length]) for length in lengths), row["exponent"])
        for loss, row in {row["loss"]: row for row in rows}.items()
    ]
    return table(("µs a list of", *lengths, "exponent"), told)


def rounded(number: float) -> str:
    """Return a number with three digits that count."""
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def measured() -> list[dict[str, str]]:
    """Return the rows that benchmarks/losses.py has written."""
    return list(csv.DictReader(MEASURED.read_text(encoding="utf-8").splitlines()))


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |".replace("|  |", "| |") for cells in lines)


def between_marks(text: str, name: str, new: str) -> str:
    """Return text with what stands between the two marks of a name replaced."""
    begin, end = f"<!-- {name}: written by docs/losses.py -->", f"<!-- {name}: end -->"
    if begin not in text or end not in text:
        sys.exit(f"docs/choosing-a-loss.md lacks the marks of '{name}'. Put them back: {begin} and {end}")
    before, _, rest = text.partition(begin)
    return f"{before}{begin}\n\n{new}\n\n{end}{rest.partition(end)[2]}"


if __name__ == "__main__":
    main()
