"""Random invalid inputs, others in every run: no exception that is not of this package."""

from random import Random

from benchmarks.reliability.fuzz import SHARES, fuzz, report


def test_random_inputs_are_accepted_or_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    seed = Random().randrange(10**9)
    outcomes = fuzz(300, seed, tmp_path)
    report(outcomes, seed, 0.0)
    assert not outcomes.foreign, capsys.readouterr().out
    assert outcomes.total("accepted") > 30
    assert {name for name, _ in outcomes.counts} == {*SHARES}
