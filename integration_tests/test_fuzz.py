"""Random invalid inputs, others in every run: no exception that is not of this package."""

import importlib
from pathlib import Path
from random import Random

ROOT = Path(__file__).parents[1]


def test_random_inputs_are_accepted_or_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(ROOT))
    module = importlib.import_module("benchmarks.reliability.fuzz")
    monkeypatch.chdir(tmp_path)
    seed = Random().randrange(10**9)
    outcomes = module.fuzz(300, seed, tmp_path)
    module.report(outcomes, seed, 0.0)
    assert not outcomes.foreign, capsys.readouterr().out
    assert outcomes.total("accepted") > 30
    assert {name for name, _ in outcomes.counts} == {*module.SHARES}
