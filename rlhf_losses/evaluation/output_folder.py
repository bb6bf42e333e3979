"""The output folder of an evaluation: `metrics.json`, and `scores.jsonl` with one line per row."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlhf_losses.errors import InvalidFeedbackError, OutputExistsError, UnreadableDatasetError
from rlhf_losses.evaluation.scored_rows import ScoredRow
from rlhf_losses.messages.setting_names import setting

METRICS_FILE = "metrics.json"
SCORES_FILE = "scores.jsonl"


@dataclass(frozen=True)
class EvaluationFolder:
    """The content of an output folder.

    Attributes:
        path: the folder.
        metrics: the JSON object of `metrics.json`.
        rows: the scored rows.
    """

    path: Path
    metrics: Mapping[str, Any]
    rows: tuple[ScoredRow, ...]

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.path.resolve().name


def require_new_folder(path: Path) -> None:
    """Raise `OutputExistsError` if a folder has the results of an evaluation already.

    Args:
        path: the folder.
    """
    existing = next((path / name for name in (METRICS_FILE, SCORES_FILE) if (path / name).exists()), None)
    if existing is not None or (path.exists() and not path.is_dir()):
        raise OutputExistsError(f"'{existing or path}' exists. Choose another folder: {setting('output_dir', 'DIR')}.")


def write_evaluation(path: Path, metrics: Mapping[str, Any], rows: Iterable[ScoredRow]) -> None:
    """Write the results of an evaluation; `metrics.json` is written last.

    Args:
        path: the folder, which is made if it does not exist.
        metrics: the JSON object with the metrics.
        rows: the scored rows.
    """
    path.mkdir(parents=True, exist_ok=True)
    with (path / SCORES_FILE).open("w", encoding="utf-8") as file:
        for row in rows:
            print(json.dumps(row.to_dict(), ensure_ascii=False, allow_nan=False), file=file)
    (path / METRICS_FILE).write_text(
        json.dumps(metrics, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8"
    )


def read_evaluation(path: Path) -> EvaluationFolder:
    """Read the results of an evaluation.

    Args:
        path: the folder.

    Raises:
        UnreadableDatasetError: a file is missing or is no JSON.
        InvalidFeedbackError: a line is no scored row.
    """
    metrics, lines = (_read(path / name) for name in (METRICS_FILE, SCORES_FILE))
    parsed = [_parse(path / SCORES_FILE, line, number) for number, line in enumerate(lines.split("\n"), 1) if line]
    rows = []
    for number, values in enumerate(parsed, 1):
        try:
            rows.append(ScoredRow.from_dict(values))
        except InvalidFeedbackError as error:
            raise InvalidFeedbackError(f"Line {number} of '{path / SCORES_FILE}': {error}") from None
    return EvaluationFolder(path, _parse(path / METRICS_FILE, metrics, None), tuple(rows))


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UnreadableDatasetError(
            f"'{file}' cannot be read: {reason}. Name a folder that `rlhf-losses evaluate` has written as its output "
            "folder."
        ) from error


def _parse(file: Path, text: str, line: int | None) -> dict[str, Any]:
    try:
        values = json.loads(text)
    except ValueError as error:
        values, problem = None, str(error)
    else:
        problem = f"it is a {type(values).__name__}"
    if not isinstance(values, dict):
        place = f"'{file}'" if line is None else f"Line {line} of '{file}'"
        raise UnreadableDatasetError(f"{place} is no JSON object: {problem}. Evaluate again into another folder.")
    return values
