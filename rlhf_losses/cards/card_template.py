"""Templates of model cards."""

from typing import Any

import jinja2


def render_template(name: str, **values: Any) -> str:
    """Return a rendered template.

    Args:
        name: its file.
        values: its variables.
    """
    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("rlhf_losses.cards", "templates"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return templates.get_template(name).render(values)
