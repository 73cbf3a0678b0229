"""Filters of POST /v1/search: the best documents of those that match."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medembed.data.dataset import open_dataset
from medembed.search.corpus import top_k
from serve.replica.served_model import ServedModel
from tests.serve.conftest import ROWS, Client, load
from tests.serve.replicas import Replica
from tests.serve.test_search import QUESTION, ask, ids
from tests.tables import write_corpus, write_table


def fields_of(row: int) -> dict[str, str | None]:
    return {"language": "en" if row % 3 else "fr", "label": None if row % 5 else "x"}


@pytest.fixture(scope="module")
def bilingual(
    trained_folder: Path, trained: ServedModel, tmp_path_factory: pytest.TempPathFactory
) -> ServedModel:
    """ROWS of which every third is French and every fifth has a label; of d0 one chunk is
    French.
    """
    texts = enumerate(ROWS.items())
    rows = [
        {"document_id": name, "text": text} | fields_of(number) for number, (name, text) in texts
    ]
    folder = tmp_path_factory.mktemp("bilingual")
    write_corpus(folder / "data", rows, 20)
    encoder = trained.encoder
    write_table(
        folder / "table",
        open_dataset(str(folder / "data")),
        encoder.encode([*ROWS.values()]),
        encoder=encoder.fingerprint,
    )
    search = {"documents": str(folder / "data"), "fields": ["text", "language", "label"]}
    return load(trained_folder, table=str(folder / "table"), search=search)


@pytest.mark.parametrize("funnel", [{}, {"first_dimensions": 8, "candidates": 100}])
@pytest.mark.parametrize(
    "wanted",
    [
        {"language": "fr"},
        {"language": ["fr", "en"]},
        {"language": ["en"], "label": ["x"]},
        {"language": "de"},
        {},
        None,
    ],
)
def test_a_filter_gives_the_best_of_those_that_match(
    bilingual: ServedModel, client_of: Client, wanted: dict[str, Any] | None, funnel: dict[str, int]
):
    client = client_of(Replica(bilingual))

    def matches(entry: dict[str, Any]) -> bool:
        return all(entry["fields"][name] in value for name, value in (wanted or {}).items())

    among = [number for number in range(len(ROWS)) if matches({"fields": fields_of(number)})]
    names, vectors = (
        np.array([*ROWS])[among].tolist(),
        bilingual.encoder.encode([*ROWS.values()])[among],
    )
    query = bilingual.encoder.encode([QUESTION], "query")
    answer = ask(client, query=QUESTION, k=7, filter=wanted, **funnel)
    best = top_k(query, names, vectors, 7, by_document=True) if among else None
    assert ids(answer) == ([name for name in best.ids[0].tolist() if name] if best else [])
    assert all(matches(entry) for entry in answer["data"])
