"""Where a dataset is."""

import pytest

from rlhf_losses.errors import UnreadableDatasetError
from rlhf_losses.files.locations import Location, locate


@pytest.mark.parametrize(
    ("name", "kind", "path"),
    [
        ("user/repo", "hub", "user/repo"),
        ("user/repo-1.5", "hub", "user/repo-1.5"),
        ("hf://datasets/user/repo", "hub", "user/repo"),
        ("https://huggingface.co/datasets/user/repo", "hub", "user/repo"),
        ("user/repo/data/train-*.parquet", "pattern", "hf://datasets/user/repo/data/train-*.parquet"),
        ("user/repo/train.csv.gz", "file", "hf://datasets/user/repo/train.csv.gz"),
        ("hf://datasets/user/repo/train.csv", "file", "hf://datasets/user/repo/train.csv"),
        ("https://host/rows.jsonl?download=true", "file", "https://host/rows.jsonl?download=true"),
        ("s3://bucket/rows.parquet", "file", "s3://bucket/rows.parquet"),
        ("s3://bucket/v1.0/", "folder", "s3://bucket/v1.0/"),
        ("gs://bucket/*.jsonl", "pattern", "gs://bucket/*.jsonl"),
        ("https://host/rows.zip", "archive", "https://host/rows.zip"),
        ("zip://data/train.csv::rows.zip", "file", "zip://data/train.csv::rows.zip"),
    ],
)
def test_names_are_located_without_reading(name, kind, path):
    assert locate(name) == Location(kind, path, is_remote="://" in path)


@pytest.mark.parametrize("suffix", [".txt", ".xls", ".pkl", ".txt.gz", ""])
def test_a_file_of_unknown_format_is_refused_with_the_known_suffixes(tmp_path, suffix):
    file = tmp_path / f"rows{suffix}"
    file.write_text("text")
    found = f"has the suffix '{suffix.removesuffix('.gz')}', which is not supported" if suffix else "has no suffix"
    with pytest.raises(UnreadableDatasetError, match=rf"{found}, .*Use one of: \.json, .*compressed \(\.gz"):
        locate(str(file))


def test_a_remote_file_of_unknown_format_is_refused():
    with pytest.raises(UnreadableDatasetError, match=r"suffix '.txt'"):
        locate("https://host/rows.txt")


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.txt", "./rows", "rows.zip"])
def test_a_missing_file_is_not_looked_for_on_the_hub(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnreadableDatasetError, match=r"There is no file"):
        locate(name)


def test_a_missing_file_of_a_local_folder_is_not_looked_for_on_the_hub(tmp_path, monkeypatch):
    (tmp_path / "data" / "parts").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnreadableDatasetError, match=r"no file 'rows.jsonl' in 'data/parts'"):
        locate("data/parts/rows.jsonl")


def test_a_file_with_a_character_of_patterns_in_its_name_is_a_file(tmp_path):
    file = tmp_path / "rows [1].csv"
    file.write_text("chosen,rejected\na,b\n")
    assert locate(str(file)).kind == "file"
