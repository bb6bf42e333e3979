"""The benchmarks run: on the smallest model, for one round, to the table that they promise."""

import csv
import doctest
import importlib
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from scripts import printed_by
from torch.nn.functional import scaled_dot_product_attention

from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.hooks.builtins import provide_losses

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
STORIES = Path(__file__).parents[2] / "shared" / "models" / "TinyStories-656K"
DATA = Path(__file__).parents[2] / "shared" / "data"

pytestmark = pytest.mark.once


def run(script: str, *arguments: str) -> str:
    return printed_by(BENCHMARKS / script, *arguments)


@pytest.fixture
def contest(monkeypatch):
    return module("contest", monkeypatch)


@pytest.fixture
def counting(monkeypatch):
    return module("counting", monkeypatch)


@pytest.fixture
def files(monkeypatch):
    return module("files", monkeypatch)


@pytest.fixture
def workloads(monkeypatch):
    return module("workloads", monkeypatch)


def module(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module(name)


SMALL = ["--size", "tiny", "--rounds", "1", "--pair_steps", "1", "--batch", "2"]


def rows_of(table: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))


@pytest.mark.parametrize(
    ("what", "contestants", "precision"),
    [("pairs", 5, "float32"), ("lists", 6, "float32"), ("scoring", 4, "float32"), ("scoring", 4, "bfloat16")],
)
def test_the_layouts_are_measured_beside_trl(tmp_path, what, contestants, precision):
    table = tmp_path / "layouts.csv"
    half = ["--bf16"] if precision == "bfloat16" else []
    printed = run("layouts.py", *SMALL, *half, "--only", what, "--output", str(table))
    rows = rows_of(table)
    assert [row["precision"] for row in rows] == contestants * [precision]
    assert rows[0]["contestant"].startswith("TRL")
    assert all(row["contestant"] in printed and float(row["seconds"]) > 0 for row in rows)
    assert "(range)" not in printed
    assert "{'" not in printed
    (shared,) = (row for row in rows if row["contestant"] == "rlhf_losses, prefix_shared")
    (padded,) = (row for row in rows if row["contestant"] == "rlhf_losses, padded")
    assert int(shared["tokens"]) == pytest.approx(int(shared["distinct_tokens"]), rel=0.01)
    assert int(shared["tokens"]) < int(rows[0]["tokens"]) / 2
    assert int(shared["operations"]) < int(padded["operations"]) < int(rows[0]["operations"])


def test_a_run_replaces_its_own_rows_and_keeps_the_others(tmp_path, contest):
    table = tmp_path / "layouts.csv"
    own = dict.fromkeys(contest.SAME, "own")
    others = [own | {name: "other"} for name in contest.SAME]
    for run_of in [own, *others, own]:
        contest.keep([run_of | {"seconds": 1.5}] * 2, table)
    assert [{name: row[name] for name in contest.SAME} for row in rows_of(table)] == [
        row for row in [*others, own] for _ in range(2)
    ]


@pytest.mark.parametrize(("rounds", "told"), [(1, "| TRL | 2.00 |"), (2, "| TRL | 2.00 (1.00–3.00) |")])
def test_one_round_has_no_range(capsys, contest, rounds, told):
    numbers = ["distinct_tokens", "gflops_a_second", "distinct_tokens_a_second", "times_the_first", "tokens"]
    numbers += ["share_of_the_floor", "matrix_rate_used", "memory_mib", "rows"]
    row = {"contestant": "TRL", "workload": "pairs", "seconds": 2.0, "fastest": 1.0, "slowest": 3.0, "rounds": rounds}
    contest.print_table([row | dict.fromkeys(numbers, 1)])
    printed = capsys.readouterr().out
    assert told in printed
    assert ("(range)" in printed) == (rounds > 1)


def written(rows: list[dict[str, Any]], file: Path) -> Path:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def said(asked: str, *answered: str) -> list[dict[str, str]]:
    roles = ("user", "assistant")
    return [{"role": role, "content": content} for role, content in zip(roles, (asked, *answered), strict=False)]


ASKED = "\n\nHuman: Why?\n\nAssistant:"

FILES = {
    "conversations": (
        {"chosen": said("Why?", "So."), "rejected": said("Why?", "No.")},
        {"prompt": "\n\nuser: Why?\n\nassistant:", "chosen": " So.", "rejected": " No."},
    ),
    "a prompt of messages": (
        {"prompt": said("Why?"), "chosen": said("Why?", "So.")[1:], "rejected": said("Why?", "No.")[1:]},
        {"prompt": "\n\nuser: Why?", "chosen": "\n\nassistant: So.", "rejected": "\n\nassistant: No."},
    ),
    "hh-rlhf": (
        {"chosen": ASKED + " So.", "rejected": ASKED + " No."},
        {"prompt": ASKED, "chosen": " So.", "rejected": " No."},
    ),
    "whole texts": (
        {"chosen": "It is so.", "rejected": "It is not."},
        {"prompt": "It is", "chosen": " so.", "rejected": " not."},
    ),
    "nothing in common": (
        {"chosen": "So.", "rejected": "No."},
        {"prompt": "", "chosen": "So.", "rejected": "No."},
    ),
    "votes": (
        {"prompt": "Why? ", "completions": ["No.", "So."], "votes": [1, 2]},
        {"prompt": "Why? ", "chosen": "So.", "rejected": "No."},
    ),
    "a ranking": (
        {"prompt": "Why? ", "completions": ["No.", "So."], "ranks": [2, 1]},
        {"prompt": "Why? ", "chosen": "So.", "rejected": "No."},
    ),
}  # fmt: skip


@pytest.mark.parametrize("layout", FILES)
def test_pairs_and_lists_are_read_from_any_layout(tmp_path, files, layout):
    row, pair = FILES[layout]
    file = written([row], tmp_path / "rows.jsonl")
    assert files.pairs_from(file).rows == [pair]
    (answers,) = files.lists_from(file).rows
    best_first = [answer for _, answer in sorted(zip(answers["ranks"], answers["completions"], strict=True))]
    assert [answers["prompt"], *best_first] == [pair["prompt"], pair["chosen"], pair["rejected"]]


def test_a_tie_is_no_pair_and_a_list_with_equal_ranks(tmp_path, files):
    rows = [{"prompt": "Why? ", "chosen": "So.", "rejected": "No.", "preference": share} for share in (0.5, 0.8)]
    file = written(rows, tmp_path / "pairs.jsonl")
    assert len(files.pairs_from(file).rows) == 1
    assert [row["ranks"] for row in files.lists_from(file).rows] == [[1, 1], [1, 2]]


def test_ratings_of_one_prompt_become_one_list(tmp_path, files):
    rated = [{"prompt": prompt, "completion": f"{n}.", "rating": n} for prompt, n in [("a", 1), ("a", 3), ("b", 2)]]
    (answers,) = files.lists_from(written(rated, tmp_path / "ratings.jsonl")).rows
    assert answers == {"prompt": "a", "completions": ["1.", "3."], "ranks": [2, 1]}


def test_a_file_that_compares_nothing_is_refused(tmp_path, files):
    labels = written([{"prompt": "Why? ", "completion": "So.", "label": True}], tmp_path / "labels.jsonl")
    with pytest.raises(InvalidFeedbackError, match="no two answers to one prompt"):
        files.pairs_from(labels)


needs_data = pytest.mark.skipif(not DATA.exists(), reason="the shared data are not part of the project")


@needs_data
@pytest.mark.parametrize("kind", ["pairs", "rankings", "ratings", "votes"])
def test_every_file_of_answers_that_were_compared_is_read(files, workloads, kind):
    for file in DATA.glob(f"*/{kind}.test.jsonl"):
        pairs, lists = files.pairs_from(file, 8), files.lists_from(file, 64)
        assert len(pairs.rows) == 8
        assert all(row["chosen"] and row["rejected"] for row in pairs.rows)
        assert [len(set(row["completions"])) for row in workloads.with_answers(lists, 8, 8).rows] == 8 * [8]


@needs_data
def test_conversations_without_a_prompt_are_measured(tmp_path):
    file, table = DATA / "helpsteer2_subset" / "pairs.test.jsonl", tmp_path / "layouts.csv"
    run("layouts.py", *SMALL, "--pairs", str(file), "--only", "pairs", "--output", str(table))
    assert {row["workload"] for row in rows_of(table)} == {"helpsteer2_subset/pairs"}


def test_answers_that_are_scored_are_all_different(workloads):
    four = workloads.grouped(3, prompt=8, answers=4, answer=8)
    eight = workloads.with_answers(four, prompts=3, answers=8)
    assert [len(set(row["completions"])) for row in eight.rows] == [8, 8, 8]
    assert [row["completions"][:4] for row in eight.rows] == [row["completions"] for row in four.rows]
    with pytest.raises(ValueError, match="3 prompts and 12 different answers are too few"):
        workloads.with_answers(four, prompts=3, answers=13)


@pytest.mark.parametrize(("masked", "seen"), [(False, 6 * 7 // 2), (True, 6 * 6)])
def test_attention_is_counted_as_it_is_computed(counting, masked, seen):
    texts, heads, tokens, width = 1, 2, 6, 16
    query = torch.randn(texts, heads, tokens, width, requires_grad=True)
    mask = torch.ones(tokens, tokens, dtype=torch.bool).tril() if masked else None

    def attend() -> torch.Tensor:
        return scaled_dot_product_attention(query, query, query, attn_mask=mask, is_causal=not masked)

    product = 2 * texts * heads * seen * width
    assert counting.count(attend).operations == 2 * product
    assert counting.count(lambda: attend().sum().backward()).operations == (2 + 5) * product


def test_what_is_kept_of_frozen_layers_changes_no_loss():
    printed = run("frozen.py", "--size", "tiny", "--rows", "16", "--losses", "bradley_terry", "hinge")
    lines = [line.split("|") for line in printed.splitlines() if line.startswith("| ")][1:]
    assert [line[1].strip() for line in lines] == ["nothing", "epochs", "epochs and losses"]
    assert len({line[-2] for line in lines}) == 1


def test_the_picture_of_growth_is_drawn_from_its_table(tmp_path):
    (tmp_path / "growth.csv").write_text((BENCHMARKS / "results" / "growth.csv").read_text())
    run("growth.py", "--draw", "--output", str(tmp_path))
    assert (tmp_path / "growth.png").stat().st_size > 10_000


def test_growth_is_measured_over_prompts_answers_and_tokens(tmp_path):
    run("growth.py", "--size", "tiny", "--points", "1", "--repeats", "1", "--output", str(tmp_path))
    rows = rows_of(tmp_path / "growth.csv")
    assert [row["varied"] for row in rows] == [*3 * ["prompt"], *3 * ["answers"], *3 * ["tokens"]]
    assert {row["tokens"] for row in rows[6:8]} == {row["value"] for row in rows[6:]}
    assert int(rows[8]["tokens"]) < int(rows[8]["value"]) / 2
    assert (tmp_path / "growth.png").stat().st_size > 10_000


def test_what_a_lower_bound_changes_is_told_as_the_page_has_it():
    """The plugin that it measures is needed for new runs only."""
    printed = run("lower_bound.py", "--draw", "--output", str(BENCHMARKS / "results"))
    page = (BENCHMARKS.parent / "docs" / "measured.md").read_text(encoding="utf-8")
    lines = [line for line in printed.splitlines() if line.startswith("|")]
    assert len(lines) == 14
    assert all(f"\n{line}\n" in page for line in lines)


@pytest.mark.parametrize("table", ["ppo_losses.csv", "ppo_stories.csv"])
def test_what_every_loss_is_worth_to_ppo_is_told_as_the_page_has_it(table):
    printed = run("ppo_losses.py", "--draw", "--output", str(BENCHMARKS / "results" / table))
    page = (BENCHMARKS.parent / "docs" / "measured.md").read_text(encoding="utf-8")
    lines = [line for line in printed.splitlines() if line.startswith("|")]
    assert len(lines) > 20
    assert all(f"\n{line}\n" in page for line in lines)


PPO_RUNS = {
    "ppo_beside": ["--seeds", "1", "--rollouts", "1", "--learning_rates", "1e-3", "--betas", "0.1"],
    "ppo_overoptimization": [
        *["--seeds", "1", "--rollouts", "2", "--losses", "hinge", "--prompts", "4"],
        *["--epochs", "1", "--completions", "8"],
    ],
    "ppo_dense": ["--seeds", "1", "--rollouts", "2", "--critics", "nothing"],
    "noise": ["--seeds", "1", "--studies", "ties", "--losses", "davidson"],
}


@pytest.mark.parametrize("name", PPO_RUNS)
def test_a_small_run_prints_writes_and_draws(tmp_path, name):
    printed = run(f"{name}.py", *PPO_RUNS[name], "--output", str(tmp_path))
    rows = list(csv.DictReader((tmp_path / f"{name}.csv").read_text(encoding="utf-8").splitlines()))
    first = next(iter(rows[0]))
    assert {row[first] for row in rows} == {row[first] for row in rows if row[first] in printed}
    assert len(rows) > 1
    assert (tmp_path / f"{name}.png").stat().st_size > 10_000


def test_losses_are_measured_beside_models_and_over_lengths(tmp_path):
    table = tmp_path / "losses.csv"
    printed = run(
        "losses.py", "--rows", "2", "--tokens", "8", "--answers", "16", "--longest", "8", "--repeats", "1",
        "--model_repeats", "1", "--output", str(table),
    )  # fmt: skip
    rows = list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))
    beside = {row["loss"] for row in rows if not row["length"]}
    assert beside == {kind.name() for kind in provide_losses()}
    assert all(float(row["share_of_tiny"]) > float(row["share_of_16M"]) > 0 for row in rows if not row["length"])
    assert [row["length"] for row in rows if row["loss"] == "plackett_luce"] == ["", "2", "4", "8"]
    assert all(f"`{loss}`" in printed for loss in beside)
    assert printed.count("every two answers are compared") == 3


@pytest.mark.parametrize("name", PPO_RUNS)
def test_the_pictures_are_drawn_from_the_committed_numbers(tmp_path, name):
    (tmp_path / f"{name}.csv").write_text((BENCHMARKS / "results" / f"{name}.csv").read_text(encoding="utf-8"))
    assert run(f"{name}.py", "--draw", "--output", str(tmp_path))
    assert (tmp_path / f"{name}.png").stat().st_size > 10_000


@pytest.mark.skipif(not STORIES.exists(), reason="the real model is not part of the project")
def test_the_loop_runs_around_a_real_language_model(tmp_path):
    table = tmp_path / "stories.csv"
    told = ["--model", str(STORIES), "--losses", "hinge", "--seeds", "2", "--steps", "2", "--output", str(table)]
    assert "| `hinge` |" in run("ppo_losses.py", *told)
    (row,) = csv.DictReader(table.read_text(encoding="utf-8").splitlines())
    assert -1 <= float(row["gold_before"]) <= 1
    assert float(row["gain_low"]) <= float(row["gain"]) <= float(row["gain_high"])


@pytest.mark.parametrize("script", ["counting", "files", "laws", "noise", "ppo_dense", "seeds", "stories", "watch"])
def test_the_examples_of_a_script_are_true(script, monkeypatch):
    found = doctest.testmod(module(script, monkeypatch))
    assert found.attempted > 0
    assert not found.failed
