"""TRL's tests of its reward trainer pass on this package's class, but for the documented differences.

The tests are not part of the package `trl`. Set TRL_REWARD_TRAINER_TESTS to a copy of TRL's
`tests/test_reward_trainer.py`.
"""

import os
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from trl_reward_trainer_tests import IMPORTS, changed, run

DOCUMENTED = Path(__file__).parents[1] / "docs" / "how-to" / "move-from-trl.md"
TESTS = os.environ.get("TRL_REWARD_TRAINER_TESTS")


def documented_differences() -> set[str]:
    """Return the tests in the table of the documentation."""
    return set(re.findall(r"^\| `(test_\w+)`", DOCUMENTED.read_text(encoding="utf-8"), re.MULTILINE))


def test_only_the_import_and_the_prepared_column_change():
    import_line = next(iter(IMPORTS))
    source = (
        f'{import_line}\nassert "chosen_ids" in trainer.train_dataset.column_names\ncollator({{"chosen_ids": [1]}})\n'
    )
    assert changed(source) == (
        "from rlhf_losses import RewardConfig, RewardTrainer\n"
        'assert "text_ids" in trainer.train_dataset.column_names\ncollator({"chosen_ids": [1]})\n'
    )


@pytest.mark.skipif(TESTS is None, reason="TRL_REWARD_TRAINER_TESTS names no copy of TRL's tests")
@pytest.mark.xdist_group("trl_tests")
@pytest.mark.parametrize("tested", ["trl", "rlhf_losses"])
def test_the_tests_of_trl_pass_but_for_the_documented_differences(tested, tmp_path):
    """The stand-ins of models and datasets are right if TRL's class passes every test."""
    report = tmp_path / "report.xml"
    run(Path(str(TESTS)), tmp_path / "stand_ins", tested, ["-q", f"--junitxml={report}"])
    cases = ElementTree.parse(report).getroot().iter("testcase")
    outcomes = {str(case.get("name")): case.find("failure") is None and case.find("error") is None for case in cases}
    failed = {name.partition("[")[0] for name, passed in outcomes.items() if not passed}
    assert len(outcomes) > 40
    assert failed == (documented_differences() if tested == "rlhf_losses" else set())
