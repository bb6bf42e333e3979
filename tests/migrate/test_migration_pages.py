"""The guides for users of other systems have the tables of `rlhf_losses.migrate`."""

import importlib.util
import re
from pathlib import Path

FILE = Path(__file__).parents[2] / "docs" / "generate_migration.py"


def test_the_tables_of_the_guides_are_those_of_the_package():
    spec = importlib.util.spec_from_file_location("generate_migration", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for path, text in module.files().items():
        assert path.read_text(encoding="utf-8") == text, "Run python docs/generate_migration.py"
        assert not re.search(r"(?<![\w/.])docs/", text), "a path that is no link"
    described = module.with_links("as docs/ppo.md#defaults and examples/hand_over/openrlhf say.")
    assert (
        described
        == "as [PPO](../ppo.md#defaults) and [`examples/hand_over/openrlhf`](../../examples/hand_over/openrlhf) say."
    )
