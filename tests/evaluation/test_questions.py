from pathlib import Path

import pytest

from medembed.artifact import NewOutput
from medembed.data.dataset import open_dataset, to_table
from medembed.evaluation.config import EvaluationConfig
from medembed.evaluation.questions import find_questions, name_pair
from medembed.lineage import DatasetManifest
from medembed.schema import CORPUS, QRELS, QUERIES


@pytest.mark.parametrize(
    ("query", "answers", "name"),
    [
        ("fr", ["fr"], "fr -> fr"),
        ("fr", ["fr", "en", "fr"], "fr -> en + fr"),
        ("fr", ["en", "und"], "fr -> en"),
        ("fr", ["und"], "fr"),
        (None, ["en"], "und -> en"),
        (None, [], "und"),
    ],
)
def test_a_pair_is_named_by_the_query_and_all_languages_of_its_answers(
    query: str | None, answers: list[str], name: str
):
    assert name_pair(query, answers) == name


def test_each_query_has_the_languages_of_its_positives_and_a_part_keeps_its_own(tmp_path: Path):
    documents = {"d1": "fr", "d2": "en", "d3#chunk-0": "en", "d3#chunk-1": "en", "d4": None}
    judged = {"a": {"d1": 1.0, "d2": 0.0}, "b": {"d1": 1.0, "d3": 1.0}, "c": {"d4": 1.0}}
    corpus = [{"document_id": name, "language": value} for name, value in documents.items()]
    asked = [
        {"query_id": name, "language": "fr", "tags": [], "group_id": name, "split": "test"}
        for name in judged
    ]
    qrels = []
    for query, grades in judged.items():
        for name, score in grades.items():
            qrels.append({"query_id": query, "document_id": name, "score": score})
    with NewOutput(str(tmp_path / "d"), "k") as output:
        output.write_parquet("corpus/part-0.parquet", to_table(corpus, CORPUS))
        output.write_parquet("queries/part-0.parquet", to_table(asked, QUERIES))
        output.write_parquet("qrels/part-0.parquet", to_table(qrels, QRELS))
        rows = {"corpus/part-0.parquet": 5}
        output.commit(DatasetManifest(fingerprint="f", rows=rows, counts={}, source="made up"))
    questions = find_questions(open_dataset(str(tmp_path / "d")), EvaluationConfig(split="test"))
    assert questions.languages == ("fr -> fr", "fr -> en + fr", "fr")
    assert questions.within(1, 3).languages == ("fr -> en + fr", "fr")
