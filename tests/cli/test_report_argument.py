"""The argument `--report`."""

import json

import pytest

CONTRADICTION = [
    {"prompt": "2 + 2 = ", "chosen": "4", "rejected": "<script>5</script>"},
    {"prompt": "2 + 2 = ", "chosen": "<script>5</script>", "rejected": "4"},
]
COMMANDS = {
    "train": ("--model", "M", "--loss", "bradley_terry", "--output_dir", "run"),
    "evaluate": ("--model", "M", "--output_dir", "run"),
    "inspect": (),
    "ppo": ("--model", "M", "--reward_model", "M", "--output_dir", "run"),
    "demo": ("--output_dir", "run"),
}
"""Commands that write a report, with further arguments."""


@pytest.mark.parametrize("command", COMMANDS)
def test_a_missing_package_is_reported_before_anything_is_read(cli, monkeypatch, command):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "plotly" else object())
    result = cli(command, *([] if command == "demo" else ["--dataset", "absent.jsonl"]), "--report")
    assert result.code == 2
    assert "needs packages that are not installed: plotly. Run: pip install 'rlhf-losses[report]'" in result.err


@pytest.mark.parametrize("command", ["train", "ppo"])
def test_a_missing_package_is_reported_for_a_setting_in_a_file(
    cli, monkeypatch, command, tmp_path, pairs_file, model_folder
):
    (tmp_path / "run.yaml").write_text("report: true")
    monkeypatch.setattr(
        "rlhf_losses.cli.report_argument.require_packages", lambda packages, feature: pytest.fail(feature)
    )
    arguments = [str(model_folder) if one == "M" else one for one in COMMANDS[command]]
    with pytest.raises(pytest.fail.Exception, match=f"rlhf-losses {command} --report"):
        cli(command, *arguments, "--dataset", pairs_file, "--config", tmp_path / "run.yaml")


@pytest.mark.parametrize("command", COMMANDS)
def test_another_file_is_not_replaced(cli, monkeypatch, command, tmp_path, pairs_file, model_folder):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    for folder in (tmp_path, tmp_path / "run"):
        (folder / "report.html").write_text("mine")
    arguments = [str(model_folder) if one == "M" else one for one in COMMANDS[command]]
    result = cli(command, *arguments, *([] if command == "demo" else ["--dataset", pairs_file]), "--report")
    assert result.code == 2
    assert "report.html' exists and is no report, so it is not replaced. Move it" in result.err
    assert (tmp_path / "report.html").read_text() == "mine"


def test_inspect_shows_contradictory_rows(done, write_rows, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    file = write_rows(*CONTRADICTION)
    result = done("inspect", "--dataset", file, "--report", "--json")
    assert json.loads(result.out)["feedback"]["Pairs"]["contradictory"] == 1
    assert "report.html has the report" in result.err
    html = (tmp_path / "report.html").read_text()
    assert (
        "pairs of answers that are judged in both ways: 1. On all rows together no scorer is right in more than 50.0"
        in html
    )
    assert 'data-key="4">4</td><td class="text" data-key="&lt;script&gt;5' in html
    assert "<script>5" not in html
