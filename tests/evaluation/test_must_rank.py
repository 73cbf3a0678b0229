from pathlib import Path

import numpy as np
import pytest

from medembed.errors import DataError, StorageError
from medembed.evaluation.config import EvaluationConfig
from medembed.evaluation.must_rank import Case, CaseOutcome, DocumentId, judge, load_cases

EXAMPLE = Path(__file__).parents[2] / "docs" / "must-rank.example.yaml"
GOOD = "- query: MI treatment\n  above: Infarction\n  below: Michigan\n"


def write(folder: Path, text: str) -> str:
    path = folder / "cases.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_cases_keep_their_order_and_are_called_by_their_place_without_a_name(tmp_path):
    text = GOOD + "- {name: ids, query: fièvre, above: {id: D1}, below: {id: D2}}\n" + GOOD
    assert load_cases(write(tmp_path, text)) == (
        Case(name="case 1", query="MI treatment", above="Infarction", below="Michigan"),
        Case(name="ids", query="fièvre", above=DocumentId(id="D1"), below=DocumentId(id="D2")),
        Case(name="case 3", query="MI treatment", above="Infarction", below="Michigan"),
    )


@pytest.mark.parametrize("name", ["7", "case IDM", "case 3"])
def test_a_case_is_shown_by_its_own_name(name: str):
    assert CaseOutcome(name, 0.5, 0.4).title == name


def test_what_looks_like_a_number_a_date_or_a_switch_is_the_text_that_was_written(tmp_path):
    (case,) = load_cases(write(tmp_path, "- {query: 2020-01-02, above: {id: 007}, below: no}\n"))
    assert (case.query, case.above, case.below) == ("2020-01-02", DocumentId(id="007"), "no")


def test_the_cases_for_french_come_with_the_package_and_a_path_stays_a_path():
    assert EvaluationConfig(must_rank="./fr").must_rank == "./fr"
    names = [case.name for case in load_cases(EvaluationConfig(must_rank="fr").must_rank)]
    assert len(names) >= 40
    assert "IDM n'est pas IRM" in names


def test_the_example_of_the_documentation_is_valid():
    assert "MI is no state" in [case.name for case in load_cases(str(EXAMPLE))]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "found nothing at the top; expected a list of cases"),
        ("[]", "found nothing at the top"),
        ("query: secret", "found keys at the top; expected a list of cases"),
        ("secret", "found one value at the top"),
        (GOOD + "- secret", "case 2: expected query, above and below; found no keys"),
        ("- query: secret\n  above: a\n", "case 1: below: missing; expected a text"),
        (
            "- query: secret\n  abov: a\n  below: b\n",
            "abov: unknown key; the nearest known key is 'above'",
        ),
        (
            GOOD + "  secret of a patient: 1\n",
            "case 1: an unknown key; known are name, query, above, below",
        ),
        (
            "- query: null\n  above: a\n  below: b\n",
            "query: not usable; expected a text that is not empty",
        ),
        ("- query: ' '\n  above: a\n  below: b\n", "query: not usable"),
        (
            "- query: secret\n  above: {id: null}\n  below: {di: d}\n",
            "above: not usable; expected a text",
        ),
        (
            "- query: secret\n  above: {id: null}\n  below: {di: d}\n",
            "below: not usable; expected a text",
        ),
        (
            "- query: secret\n  above: secret\n  below: secret\n",
            "case 1: above and below are the same",
        ),
        (
            "- query: a\n  above: b\n  below: secret\n  query: secret\n",
            "cases.yaml:4: a key stands twice in one case",
        ),
        (
            "- query: a\n  above: secret: secret\n",
            "cases.yaml:2: not valid YAML; put texts that have a colon",
        ),
        ("- query: !secret a\n", "cases.yaml:1: not valid YAML"),
        (
            "- {name: a, query: a, above: a, below: b}\n" * 2,
            "case 2: name: the same as that of case 1",
        ),
        (
            "- {name: case 2, query: a, above: a, below: b}\n" + GOOD,
            "case 2: name: the same as that of case 1",
        ),
    ],
)
def test_a_fault_is_one_line_with_file_case_and_key_and_no_text(tmp_path, text, told):
    uri = write(tmp_path, text)
    with pytest.raises(DataError) as error:
        load_cases(uri)
    assert told in str(error.value)
    assert str(error.value).startswith(uri)
    assert "\n" not in str(error.value)
    assert "secret" not in str(error.value).removeprefix(uri)


def test_a_file_that_is_no_text_is_refused_and_one_that_is_absent_too(tmp_path):
    (tmp_path / "cases.yaml").write_bytes(b"\xff\xfe\x00\x01- query")
    with pytest.raises(DataError, match="not valid YAML"):
        load_cases(str(tmp_path / "cases.yaml"))
    with pytest.raises(StorageError, match="no such file"):
        load_cases(str(tmp_path / "none.yaml"))


def test_a_case_holds_only_strictly_above():
    assert CaseOutcome("a", 0.5, 0.25).holds
    assert CaseOutcome("a", 0.5, 0.25).margin == 0.25
    assert not CaseOutcome("a", 0.5, 0.5).holds
    assert not CaseOutcome("a", float("nan"), 0.5).holds


def test_each_dimension_is_judged_by_its_own_cosines_in_the_order_of_the_cases():
    cases = [Case(name=name, query="q", above="a", below="b") for name in ("one", "two")]
    above = {64: np.array([0.9, 0.5]), 32: np.array([0.8, 0.1])}
    below = {32: np.array([0.7, 0.4]), 64: np.array([0.2, 0.25])}
    outcomes = judge(cases, above, below)
    assert outcomes == {
        64: (CaseOutcome("one", 0.9, 0.2), CaseOutcome("two", 0.5, 0.25)),
        32: (CaseOutcome("one", 0.8, 0.7), CaseOutcome("two", 0.1, 0.4)),
    }
