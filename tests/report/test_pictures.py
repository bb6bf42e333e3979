"""Pictures without a browser."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest
from PIL import Image
from scored_datasets import pair, scored_data

from rlhf_losses.evaluation.output_folder import read_evaluation, write_evaluation
from rlhf_losses.evaluation.result import Evaluation
from rlhf_losses.evaluation.scored_data import DroppedRows
from rlhf_losses.report.charts import Chart, Trace
from rlhf_losses.report.evaluation_charts import write_evaluation_picture
from rlhf_losses.report.pictures import draw, write_picture

pytest.importorskip("matplotlib")

CHARTS = [
    Chart("bars $1", [Trace("a", [1.0, 2.0], [3.0, 4.0], "bars")], "x", "y"),
    Chart("line", [Trace("a", [1.0, 2.0], [3.0, np.nan], low=[2.0, np.nan], high=[5.0, np.nan])], "x", "y"),
    Chart("shares", [Trace(name, [1.0, 2.0], [1.0, 3.0], "area") for name in "ab"], "x", "y"),
    Chart("points", [Trace("a", ["one", "two"], [0.0, 1.0], "points", opacity=[0.5, 1.0])], "x", "y", categories=True),
]


@pytest.fixture
def evaluation(tmp_path):
    rows = [pair(f"prompt {n}", f"better {n}", f"worse {n}") for n in range(6)]
    found = Evaluation.of(scored_data(rows, np.arange(12.0).tolist()), DroppedRows(given=6), {"accuracy": 0.0}, False)
    write_evaluation(tmp_path / "model", found.to_dict(), found.rows)
    return read_evaluation(tmp_path / "model")


def test_every_kind_of_trace_is_drawn():
    axes = draw(CHARTS).axes
    assert [bar.get_height() for bar in axes[0].patches] == [3.0, 4.0]
    assert axes[1].lines[0].get_ydata()[0] == 3.0
    assert axes[2].get_ylim()[1] >= 100  # shares in percent
    assert len(axes[3].collections[0].get_offsets()) == 2
    assert len(draw(CHARTS[:3]).axes) == 4  # two by two, of which the last place is empty


def test_pictures_of_an_evaluation(evaluation, tmp_path):
    assert write_evaluation_picture(evaluation, tmp_path / "scores.png")
    with Image.open(tmp_path / "scores.png") as image:
        assert image.width > 1000
    assert write_evaluation_picture(evaluation, tmp_path / "scores.svg")
    assert ET.parse(tmp_path / "scores.svg").getroot().tag.endswith("svg")


def test_equal_charts_give_equal_files(tmp_path):
    for name in ("a.svg", "b.svg"):
        write_picture(CHARTS, tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
