"""Each benchmark runs with the smallest model and prints its table; committed results reproduce tables and figures."""

import ast
import doctest
import importlib
import json
import re
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pandas as pd
import pytest
import torch
from run_script import printed_by
from shared_models import small_synthetic_tasks
from thorough_cases import with_thorough
from torch.nn.functional import scaled_dot_product_attention

from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.hooks.builtins import provide_losses

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "benchmarks"
RESULTS = BENCHMARKS / "results"
TINYSTORIES = ROOT.parent / "shared" / "models" / "TinyStories-656K"
DATA = ROOT.parent / "shared" / "data"


def run(script: str, *arguments: str) -> str:
    """Run a script as `python -m` does in the root of the repository, and return its output."""
    with patch.object(sys, "path", [str(ROOT), *sys.path]):
        return printed_by(BENCHMARKS / f"{script}.py", *arguments)


@pytest.fixture
def library(monkeypatch):
    """Return a function that imports a module of the benchmarks."""
    monkeypatch.syspath_prepend(str(ROOT))
    return lambda name: importlib.import_module(f"benchmarks.{name}")


def read_table(file: Path) -> list[dict[str, str]]:
    return pd.read_csv(file, dtype=str, keep_default_na=False).to_dict("records")


def table_lines(printed: str) -> list[str]:
    return [line for line in printed.splitlines() if line.startswith("|")]


SMALL = ["--size", "tiny", "--rounds", "1", "--pair_steps", "1", "--batch", "2"]


@pytest.mark.parametrize(
    ("work", "methods", "precision"),
    with_thorough(
        [],
        [("pairs", 5, "float32"), ("lists", 6, "float32"), ("scoring", 4, "float32"), ("scoring", 4, "bfloat16")],
    ),
)
def test_the_layouts_are_compared_to_trl(tmp_path, work, methods, precision):
    file = tmp_path / "throughput.csv"
    half = ["--bf16"] if precision == "bfloat16" else []
    printed = run("layouts/throughput", *SMALL, *half, "--only", work, "--output", str(file))
    rows = read_table(file)
    assert [row["precision"] for row in rows] == methods * [precision]
    assert rows[0]["method"].startswith("TRL")
    assert all(row["method"] in printed and float(row["seconds"]) > 0 for row in rows)
    assert "(range)" not in printed
    assert "{'" not in printed
    (shared,) = (row for row in rows if row["method"] == "rlhf_losses, prefix_shared")
    (padded,) = (row for row in rows if row["method"] == "rlhf_losses, padded")
    assert int(shared["tokens"]) == pytest.approx(int(shared["distinct_tokens"]), rel=0.01)
    assert int(shared["tokens"]) < int(rows[0]["tokens"]) / 2
    assert int(shared["operations"]) < int(padded["operations"]) < int(rows[0]["operations"])

    assert all(printed.count(f"| {row['method']} |") == 2 for row in rows)
    for row in rows:
        saved = int(rows[0]["operations"]) / int(row["operations"])
        share = float(row["hfu"]) / float(rows[0]["hfu"])
        assert float(row["speedup"]) == pytest.approx(saved * share)


def test_the_page_has_the_factors_of_the_speed(capsys, library):
    results = pd.read_csv(RESULTS / "layouts" / "throughput.csv")
    rows = results[(results["work"] == "pairs") & (results["precision"] == "float32")].to_dict("records")
    library("_lib.comparison").print_factors(rows)
    lines = table_lines(capsys.readouterr().out)
    assert len(lines) == 7
    assert all(f"\n{line}\n" in page("layouts.md") for line in lines)


def test_a_run_replaces_its_own_rows_and_keeps_the_others(tmp_path, library):
    comparison = library("_lib.comparison")
    file = tmp_path / "throughput.csv"
    own = dict.fromkeys(comparison.RUN_COLUMNS, "own")
    others = [own | {name: "other"} for name in comparison.RUN_COLUMNS]
    for row in [own, *others, own]:
        comparison.save_comparison([row | {"seconds": 1.5}] * 2, file)
    assert [{name: row[name] for name in comparison.RUN_COLUMNS} for row in read_table(file)] == [
        row for row in [*others, own] for _ in range(2)
    ]


@pytest.mark.parametrize(("rounds", "line"), [(1, "| TRL | 2.00 |"), (2, "| TRL | 2.00 (1.00–3.00) |")])
def test_a_single_round_has_no_range(capsys, library, rounds, line):
    columns = ["distinct_tokens", "gflops", "distinct_tokens_per_second", "speedup", "tokens"]
    columns += ["mfu", "hfu", "memory_mib", "rows"]
    row = {"method": "TRL", "workload": "pairs", "seconds": 2.0, "min_seconds": 1.0, "max_seconds": 3.0}
    library("_lib.comparison").print_comparison([row | {"rounds": rounds} | dict.fromkeys(columns, 1)])
    printed = capsys.readouterr().out
    assert line in printed
    assert ("(range)" in printed) == (rounds > 1)


def written(rows: list[dict[str, Any]], file: Path) -> Path:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def conversation(question: str, *answers: str) -> list[dict[str, str]]:
    roles = ("user", "assistant")
    return [{"role": role, "content": content} for role, content in zip(roles, (question, *answers), strict=False)]


TRANSCRIPT = "\n\nHuman: Why?\n\nAssistant:"

FILES = {
    "conversations": (
        {"chosen": conversation("Why?", "So."), "rejected": conversation("Why?", "No.")},
        {"prompt": "\n\nuser: Why?\n\nassistant:", "chosen": " So.", "rejected": " No."},
    ),
    "a prompt of messages": (
        {
            "prompt": conversation("Why?"),
            "chosen": conversation("Why?", "So.")[1:],
            "rejected": conversation("Why?", "No.")[1:],
        },
        {"prompt": "\n\nuser: Why?", "chosen": "\n\nassistant: So.", "rejected": "\n\nassistant: No."},
    ),
    "hh-rlhf": (
        {"chosen": TRANSCRIPT + " So.", "rejected": TRANSCRIPT + " No."},
        {"prompt": TRANSCRIPT, "chosen": " So.", "rejected": " No."},
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
}


@pytest.mark.parametrize("name", FILES)
def test_pairs_and_lists_are_read_from_any_format(tmp_path, library, name):
    files = library("_lib.workload_files")
    row, pair = FILES[name]
    file = written([row], tmp_path / "rows.jsonl")
    assert files.pairs_from_file(file).rows == [pair]
    (answers,) = files.lists_from_file(file).rows
    best_first = [answer for _, answer in sorted(zip(answers["ranks"], answers["completions"], strict=True))]
    assert [answers["prompt"], *best_first] == [pair["prompt"], pair["chosen"], pair["rejected"]]


def test_a_tie_is_not_a_pair_but_a_list_with_equal_ranks(tmp_path, library):
    files = library("_lib.workload_files")
    rows = [{"prompt": "Why? ", "chosen": "So.", "rejected": "No.", "preference": share} for share in (0.5, 0.8)]
    file = written(rows, tmp_path / "pairs.jsonl")
    assert len(files.pairs_from_file(file).rows) == 1
    assert [row["ranks"] for row in files.lists_from_file(file).rows] == [[1, 1], [1, 2]]


def test_ratings_of_one_prompt_become_one_list(tmp_path, library):
    rated = [{"prompt": prompt, "completion": f"{n}.", "rating": n} for prompt, n in [("a", 1), ("a", 3), ("b", 2)]]
    file = written(rated, tmp_path / "ratings.jsonl")
    (answers,) = library("_lib.workload_files").lists_from_file(file).rows
    assert answers == {"prompt": "a", "completions": ["1.", "3."], "ranks": [2, 1]}


def test_a_file_without_comparisons_is_refused(tmp_path, library):
    labels = written([{"prompt": "Why? ", "completion": "So.", "label": True}], tmp_path / "labels.jsonl")
    with pytest.raises(InvalidFeedbackError, match=r"labels.*no two answers to one prompt.*Use a file of pairs"):
        library("_lib.workload_files").pairs_from_file(labels)


needs_data = pytest.mark.skipif(not DATA.exists(), reason="the shared data are not part of the project")


@needs_data
@pytest.mark.parametrize("feedback", ["pairs", "rankings", "ratings", "votes"])
def test_every_file_with_compared_answers_is_read(library, feedback):
    files, workloads = library("_lib.workload_files"), library("_lib.workloads")
    for file in DATA.glob(f"*/{feedback}.test.jsonl"):
        pairs, lists = files.pairs_from_file(file, 8), files.lists_from_file(file, 64)
        assert len(pairs.rows) == 8
        assert all(row["chosen"] and row["rejected"] for row in pairs.rows)
        distinct = workloads.with_distinct_completions(lists, 8, 8)
        assert [len(set(row["completions"])) for row in distinct.rows] == 8 * [8]


@needs_data
@pytest.mark.thorough
def test_conversations_without_a_prompt_are_measured(tmp_path):
    data, file = DATA / "helpsteer2_subset" / "pairs.test.jsonl", tmp_path / "throughput.csv"
    run("layouts/throughput", *SMALL, "--pairs", str(data), "--only", "pairs", "--output", str(file))
    assert {row["workload"] for row in read_table(file)} == {"helpsteer2_subset/pairs"}


def test_scored_completions_are_distinct(library):
    workloads = library("_lib.workloads")
    four = workloads.lists_of_fixed_length(3, prompt=8, answers=4, answer=8)
    eight = workloads.with_distinct_completions(four, prompts=3, completions=8)
    assert [len(set(row["completions"])) for row in eight.rows] == [8, 8, 8]
    assert [row["completions"][:4] for row in eight.rows] == [row["completions"] for row in four.rows]
    with pytest.raises(ValueError, match="3 prompts and 13 completions are required"):
        workloads.with_distinct_completions(four, prompts=3, completions=13)


@pytest.mark.parametrize(("masked", "attended"), [(False, 6 * 7 // 2), (True, 6 * 6)])
def test_operations_of_attention_are_those_that_are_computed(library, masked, attended):
    texts, heads, tokens, width = 1, 2, 6, 16
    query = torch.randn(texts, heads, tokens, width, requires_grad=True)
    mask = torch.ones(tokens, tokens, dtype=torch.bool).tril() if masked else None

    def attend() -> torch.Tensor:
        return scaled_dot_product_attention(query, query, query, attn_mask=mask, is_causal=not masked)

    product = 2 * texts * heads * attended * width
    count_operations = library("_lib.operation_count").count_operations
    assert count_operations(attend).operations == 2 * product
    assert count_operations(lambda: attend().sum().backward()).operations == (2 + 5) * product


@pytest.mark.thorough
def test_cached_hidden_states_do_not_change_the_loss():
    printed = run("layouts/hidden_state_cache", "--size", "tiny", "--rows", "16", "--losses", "bradley_terry", "hinge")
    lines = [line.split("|") for line in printed.splitlines() if line.startswith("| ")][1:]
    assert [line[1].strip() for line in lines] == ["nothing", "epochs", "epochs and losses"]
    assert len({line[-2] for line in lines}) == 1


@pytest.mark.thorough
def test_scaling_is_measured_over_prompts_answers_and_tokens(tmp_path):
    run("layouts/scaling", "--size", "tiny", "--points", "1", "--repeats", "1", "--output", str(tmp_path))
    rows = read_table(tmp_path / "scaling.csv")
    assert [row["varied"] for row in rows] == [*3 * ["prompt"], *3 * ["answers"], *3 * ["tokens"]]
    assert {row["tokens"] for row in rows[6:8]} == {row["value"] for row in rows[6:]}
    assert int(rows[8]["tokens"]) < int(rows[8]["value"]) / 2
    assert (tmp_path / "scaling.png").stat().st_size > 10_000


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def test_the_page_has_the_table_of_the_lower_bound():
    """A new run needs the plugin; the report does not."""
    lines = table_lines(run("ppo/lower_bound", "--draw", "--output", str(RESULTS / "ppo")))
    assert len(lines) == 14
    assert all(f"\n{line}\n" in page("measured.md") for line in lines)


@pytest.mark.parametrize("model", [[], ["--model", "TinyStories-656K"]], ids=["synthetic", "tinystories"])
def test_the_page_has_the_table_of_every_loss(model):
    lines = table_lines(run("ppo/all_losses", *model, "--draw", "--output", str(RESULTS / "ppo")))
    assert len(lines) > 20
    assert all(f"\n{line}\n" in page("measured.md") for line in lines)


PAGES = "".join(page(name) for name in ("choosing-a-loss.md", "layouts.md", "measured.md", "ppo.md"))


@pytest.mark.parametrize("path", sorted(set(re.findall(r"benchmarks/results/[\w/]+\.\w+", PAGES))))
def test_results_on_the_pages_exist(path):
    assert (ROOT / path).is_file()


SCRIPTS = {
    ".".join(file.relative_to(ROOT).with_suffix("").parts): ast.get_docstring(ast.parse(file.read_text("utf-8")))
    for file in sorted([*BENCHMARKS.glob("[!_]*.py"), *BENCHMARKS.glob("[!_]*/[!_]*.py")])
}
"""The documentation of each script, by module."""


@pytest.mark.parametrize("module", SCRIPTS)
def test_a_script_documents_its_command_and_the_page_that_has_its_result(module):
    """A script whose result is on no page yet names none."""
    command = f"python -m {module}"
    assert command in SCRIPTS[module]
    result = f"results/{'/'.join(module.split('.')[1:])}."
    texts = {str(file.relative_to(ROOT)): file.read_text(encoding="utf-8") for file in ROOT.glob("docs/**/*.md")}
    pages = {name for name, text in texts.items() if re.search(rf"{command}\b|{result}", text)}
    named = set(re.findall(r"page (docs/[\w/-]+\.md)", SCRIPTS[module]))
    assert named <= pages
    assert bool(named) is bool(pages)


@pytest.mark.parametrize("file", sorted(ROOT.glob("docs/**/*.md")), ids=lambda file: file.stem)
def test_commands_on_the_pages_are_documented_by_their_scripts(file):
    for command, module in re.findall(r"(python\s+-m\s+(benchmarks[\w.]+)[^`\n]*)", file.read_text(encoding="utf-8")):
        words = " ".join(command.partition("#")[0].split())
        assert words in " ".join(SCRIPTS[module].split())


@pytest.mark.parametrize("place", ["docs/**/*.md", "*.md", "examples/**/*.*", "plugins/**/*.md", "benchmarks/**/*.py"])
def test_nothing_needs_a_folder_beside_the_repository(place):
    beside = re.compile(r"(?<![\w/.])(?:\.\./)+shared/|(?<!\w)/(?:work|root|home)/")
    files = [file for file in ROOT.glob(place) if file.is_file() and file.suffix != ".pyc"]
    assert not [file for file in files if beside.search(file.read_text(errors="ignore"))]


STUDIES = {
    "ppo/overoptimization": [
        *["--seeds", "1", "--rollouts", "2", "--losses", "hinge", "--prompts", "4"],
        *["--epochs", "1", "--completions", "8"],
    ],
    "ppo/step_rewards": ["--seeds", "1", "--rollouts", "2", "--critics", "nothing"],
    "losses/noise": ["--seeds", "1", "--studies", "ties", "--losses", "davidson"],
}


@pytest.mark.thorough
@pytest.mark.parametrize("script", STUDIES)
def test_a_small_study_prints_saves_and_plots(tmp_path, script):
    name = Path(script).name
    with small_synthetic_tasks():
        printed = run(script, *STUDIES[script], "--output", str(tmp_path))
    rows = read_table(tmp_path / f"{name}.csv")
    first = next(iter(rows[0]))
    assert {row[first] for row in rows} == {row[first] for row in rows if row[first] in printed}
    assert len(rows) > 1
    assert (tmp_path / f"{name}.png").stat().st_size > 10_000


@pytest.mark.parametrize("script", with_thorough(["ppo/suite"], [*STUDIES, "layouts/scaling"]))
def test_figures_are_plotted_from_the_committed_results(tmp_path, script):
    name = Path(script).name
    (tmp_path / f"{name}.csv").write_text((RESULTS / f"{script}.csv").read_text(encoding="utf-8"))
    assert run(script, "--draw", "--output", str(tmp_path))
    assert (tmp_path / f"{name}.png").stat().st_size > 10_000


def test_the_page_has_the_table_of_the_script_for_trl():
    lines = table_lines(run("ppo/compat", "--draw", "--output", str(RESULTS / "ppo")))
    assert len(lines) == 2 + 2 * 3
    assert "\n".join(lines) in page("measured.md")


@pytest.mark.thorough
def test_losses_are_compared_to_models_and_over_lengths(tmp_path):
    printed = run(
        *("losses/runtime", "--rows", "2", "--tokens", "8", "--answers", "16", "--longest", "8", "--repeats", "1"),
        *("--model_repeats", "1", "--output", str(tmp_path)),
    )
    rows = read_table(tmp_path / "runtime.csv")
    compared = {row["loss"] for row in rows if not row["length"]}
    assert compared == {cls.name() for cls in provide_losses()}
    assert all(float(row["share_of_tiny"]) > float(row["share_of_16M"]) > 0 for row in rows if not row["length"])
    assert [row["length"] for row in rows if row["loss"] == "plackett_luce"] == ["", "2", "4", "8"]
    assert all(f"`{loss}`" in printed for loss in compared)
    assert printed.count("compares every two answers") == 3


@pytest.mark.thorough
@pytest.mark.skipif(not TINYSTORIES.exists(), reason="the pretrained model is not part of the project")
def test_the_loop_runs_with_a_pretrained_language_model(library, monkeypatch, tmp_path):
    tinystories = library("_lib.tinystories")
    monkeypatch.setattr(tinystories, "PROMPTS", tinystories.PROMPTS[:16])
    monkeypatch.setattr(tinystories, "NUM_HELDOUT", 4)
    options = ["--losses", "hinge", "--seeds", "2", "--steps", "2", "--output", str(tmp_path)]
    assert "| `hinge` |" in run("ppo/all_losses", "--model", str(TINYSTORIES), *options)
    (row,) = read_table(tmp_path / "all_losses_tinystories.csv")
    assert -1 <= float(row["gold_before"]) <= 1
    assert float(row["gain_low"]) <= float(row["gain"]) <= float(row["gain_high"])


SMALLEST = ["--hidden_size", "64", "--layers", "1"]


@pytest.mark.thorough
@pytest.mark.skipif(not TINYSTORIES.exists(), reason="the pretrained model is not part of the project")
def test_the_suite_continues_with_the_missing_runs(tmp_path):
    small = ["--model", str(TINYSTORIES), "--tasks", "letter", "--rollouts", "2", "--seeds", "2", "--jobs", "1"]
    folder = ["--output", str(tmp_path)]
    run("ppo/suite", *small, *folder, "--methods", "GRPO", "RLOO")
    first = read_table(tmp_path / "suite.csv")
    assert len(first) == 2 * (3 + 2)
    printed = run("ppo/suite", *small, *folder, "--methods", "PPO", "GRPO", "RLOO")
    rows = read_table(tmp_path / "suite.csv")
    assert rows[: len(first)] == first
    assert {row["method"] for row in rows[len(first) :]} == {"PPO"}
    assert "| letter s, 16 tokens, × 0.01 |" in printed
    assert (tmp_path / "suite.png").stat().st_size > 10_000


@pytest.mark.thorough
def test_the_run_time_of_ppo_is_relative_to_the_padded_layout():
    steps = ["--longest_prompt", "20", "--completion", "4", "--steps", "1", "--rounds", "1"]
    lines = [line for line in table_lines(run("ppo/layout_runtime", *SMALLEST, *steps)) if line.startswith("| `")]
    assert [line.split("|")[1].strip() for line in lines] == ["`padded`", "`packed`", "`prefix_shared`"]
    assert lines[0].endswith("| 1.00 | 1.00 |")


@pytest.mark.thorough
def test_one_base_model_needs_less_memory_than_four_models(library, monkeypatch, capsys):
    memory = library("ppo.memory")
    # In this process: three new ones would import torch for longer than the measurement takes.
    monkeypatch.setattr(memory, "run_in_process", lambda _, name, folder, __: memory.measure(name, Path(folder), 8))
    monkeypatch.setattr(sys, "argv", ["memory", *SMALLEST])
    memory.main()
    lines = [line.split("|") for line in table_lines(capsys.readouterr().out)[2:]]
    sizes = {line[1].strip(): float(line[3].strip(" ×")) for line in lines}
    assert list(sizes) == ["one base", "LoRA, separate reward model", "four models"]
    assert sizes["one base"] < sizes["LoRA, separate reward model"] < sizes["four models"]


MODULES_WITH_EXAMPLES = [
    *("_lib.operation_count", "_lib.workload_files", "_lib.scaling_laws", "_lib.tables", "_lib.tinystories"),
    *("_lib.policy_evaluation", "losses.noise", "losses.runtime", "ppo.step_rewards"),
]


@pytest.mark.parametrize("module", MODULES_WITH_EXAMPLES)
def test_the_examples_of_a_module_hold(module, library):
    result = doctest.testmod(library(module))
    assert result.attempted > 0
    assert not result.failed


def test_the_cost_of_checks_for_nan_is_printed(library, capsys):
    library("reliability.nonfinite_cost").main(["--steps", "2", "--rounds", "1"])
    assert "median ratio" in capsys.readouterr().out


def test_the_run_time_of_evaluate_is_printed_per_row(library, capsys):
    library("evaluation.runtime").main(["--rows", "8", "16"])
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines()] == ["8 rows", "16 rows"]
