"""POST /v1/search over a real table of a tiny model."""

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from medembed.data.dataset import open_dataset
from medembed.schema import document_of
from medembed.search.corpus import top_k
from serve.replica.served_model import ServedModel
from tests.serve.conftest import ROWS, Client, load
from tests.serve.replicas import Replica
from tests.tables import write_corpus, write_table

QUESTION = "pain of the heart"


@pytest.fixture
def client(searched: ServedModel, client_of: Client) -> TestClient:
    return client_of(Replica(searched))


def ask(client: TestClient, status: int = 200, **body: Any) -> dict[str, Any]:
    response = client.post("/v1/search", json=body)
    assert response.status_code == status, response.text
    return response.json()


def refused(client: TestClient, status: int, param: str | None, **body: Any) -> str:
    error = ask(client, status, **body)["error"]
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert "SECRET" not in json.dumps(error)
    return str(error["message"])


def ids(answer: dict[str, Any]) -> list[str]:
    return [entry["id"] for entry in answer["data"]]


@pytest.mark.parametrize("dimensions", [32, 8, None])
def test_documents_come_as_exact_search_ranks_them_with_their_fields(
    client: TestClient, searched: ServedModel, dimensions: int | None
):
    answer = ask(client, query=QUESTION, k=7, dimensions=dimensions)
    encoder, width = searched.encoder, dimensions or 32
    query = encoder.encode([QUESTION], "query")
    rows = encoder.encode([*ROWS.values()])
    wanted = top_k(query, [*ROWS], rows, 7, width, by_document=True)
    assert ids(answer) == wanted.ids[0].tolist()
    assert (
        np.abs(np.array([entry["score"] for entry in answer["data"]]) - wanted.scores[0]).max()
        < 1e-5
    )
    for entry, row in zip(answer["data"], wanted.row_ids[0].tolist(), strict=True):
        assert entry.get("row_id", entry["id"]) == row
        assert entry["fields"] == {"text": ROWS[row], "language": "en"}
    assert (answer["object"], answer["dimensions"], answer["model"]) == ("list", width, "medembed")


def test_the_answer_names_table_model_and_tokens(client: TestClient, searched: ServedModel):
    response = client.post("/v1/search", json={"query": QUESTION})
    fingerprint, answer = searched.model["fingerprint"], response.json()
    assert answer["table"] == {"version": 1, "rows": len(ROWS), "fingerprint": fingerprint}
    tokens = searched.encoder.tokenize([QUESTION], "query").lengths[0]
    assert answer["usage"] == {"prompt_tokens": tokens, "total_tokens": tokens}
    assert response.headers["x-model-fingerprint"] == fingerprint
    entry = client.get("/v1/models").json()["data"][0]
    assert entry["table"]["fields"] == ["text", "language"]


def test_several_queries_or_embeddings_get_a_list_each_in_their_order(client: TestClient):
    texts = [QUESTION, "skin rash", "a tremor of the left hand"]
    few = {"k": 4, "dimensions": 8}
    answer = ask(client, query=texts, **few)
    single = [ask(client, query=text, **few) for text in texts]
    for index, each in enumerate(single):
        assert answer["data"][index] == {"index": index, "data": each["data"]}
    tokens = [each["usage"]["total_tokens"] for each in single]
    assert answer["usage"]["total_tokens"] == sum(tokens)
    assert ask(client, query=texts[:1], **few)["data"] == answer["data"][:1]

    body = {"input": texts, "model": "medembed", "encoding_format": "base64"}
    entries = client.post("/v1/embeddings", json=body).json()["data"]
    vectors = [entry["embedding"] for entry in entries]
    numbers = np.frombuffer(base64.b64decode(vectors[0]), "<f4").tolist()
    by_vectors = ask(client, embedding=[numbers, *vectors[1:]], **few)
    assert by_vectors["data"] == answer["data"]
    assert by_vectors["usage"]["total_tokens"] == 0
    for vector in (numbers, vectors[0]):
        assert ask(client, embedding=vector, **few)["data"] == single[0]["data"]
    longer = [1000 * value for value in numbers]
    assert ids(ask(client, embedding=longer, **few)) == ids(single[0])


def test_chunks_are_one_document_which_names_its_best_chunk(client: TestClient):
    by_id = {entry["id"]: entry for entry in ask(client, query="heart 0", k=100)["data"]}
    assert len(by_id) == len({document_of(name) for name in ROWS})
    assert by_id["d0"]["row_id"].startswith("d0#chunk-")
    assert "row_id" not in by_id["d5"]


def test_a_text_as_a_document_finds_documents_like_it(client: TestClient, searched: ServedModel):
    (vector,) = searched.encoder.encode([QUESTION], "document")
    like = ask(client, query=QUESTION, input_type="document")
    by_vector = ask(client, embedding=[float(value) for value in vector])
    assert ids(like) == ids(by_vector) != ids(ask(client, query=QUESTION))
    assert (
        ask(client, query=QUESTION, input_type=None)["data"] == ask(client, query=QUESTION)["data"]
    )
    message = refused(client, 400, "input_type", embedding=[1.0] * 32, input_type="document")
    assert "leave it out" in message


def test_the_funnel_with_all_documents_as_candidates_is_exact_search(client: TestClient):
    wide = ask(client, query=QUESTION, k=5, first_dimensions=8, candidates=100)
    assert wide["data"] == ask(client, query=QUESTION, k=5)["data"]
    narrow = ask(client, query=QUESTION, k=5, first_dimensions=8, candidates=5)
    assert sorted(ids(narrow)) == sorted(ids(ask(client, query=QUESTION, k=5, dimensions=8)))
    scores = [entry["score"] for entry in narrow["data"]]
    assert scores == sorted(scores, reverse=True)


NAN = base64.b64encode(np.full(32, np.nan, "<f4")).decode()


@pytest.mark.parametrize(
    ("body", "param", "says"),
    [
        ({"query": None}, "query", "exactly one"),
        ({"embedding": [1.0] * 32}, "query", "exactly one"),
        ({"query": ""}, "query", "none of them empty"),
        ({"query": []}, "query", "string"),
        ({"query": ["SECRET", ""]}, "query", "string"),
        ({"query": ["SECRET"] * 101}, "query", "limits.max_queries"),
        ({"query": ["heart", "heart " * 100]}, "query", "query[1]: has 108 tokens; at most 48"),
        ({"query": "heart " * 100}, "query", "query: has 108 tokens; at most 48"),
        ({"filter": {"SECRET": "x"}}, "filter", "known here: text, language"),
        ({"filter": {"language": []}}, "filter", "a list of texts"),
        ({"filter": "SECRET"}, "filter", "a list of texts"),
        ({"kk": 3}, "kk", "nearest known field is 'k'"),
        ({"k": 0}, "k", "greater than"),
        ({"k": 101}, "k", "limits.max_k"),
        ({"dimensions": 16}, "dimensions", "[32, 8]"),
        ({"dimensions": 33}, "dimensions", "33"),
        ({"candidates": 9}, "candidates", "first_dimensions"),
        ({"first_dimensions": 8, "candidates": 9}, "candidates", "at least the k=10"),
        ({"first_dimensions": 8, "candidates": 10_001}, "candidates", "limits.max_candidates"),
        ({"first_dimensions": 32}, "first_dimensions", "fewer than"),
        ({"first_dimensions": 9}, "first_dimensions", "[32, 8]"),
        ({"query": None, "embedding": [[1.0] * 32, [1.0] * 31]}, "embedding", "several lengths"),
        ({"query": None, "embedding": [[1.0] * 32] * 101}, "embedding", "limits.max_queries"),
        ({"query": None, "embedding": [1.0] * 8}, "embedding", "has 8 values, expected 32"),
        ({"query": None, "embedding": ["SECRET"]}, "embedding", "list of numbers"),
        ({"query": None, "embedding": "SECRET"}, "embedding", "list of numbers"),
        ({"query": None, "embedding": [0.0] * 32}, "embedding", "no length"),
        ({"query": None, "embedding": [1e300] * 32}, "embedding", "not finite"),
        ({"query": None, "embedding": NAN}, "embedding", "not finite"),
    ],
)
def test_what_cannot_be_searched_names_the_field_and_never_the_text(
    client: TestClient, body: dict[str, Any], param: str, says: str
):
    assert says in refused(client, 400, param, **({"query": "SECRET"} | body))


def test_another_model_or_fingerprint_is_refused(client: TestClient, searched: ServedModel):
    refused(client, 404, "model", query="SECRET", model="other")
    refused(client, 409, "expected_fingerprint", query="SECRET", expected_fingerprint="0" * 16)
    ask(client, query="a", model="medembed/3", expected_fingerprint=searched.model["fingerprint"])


def test_without_a_table_it_is_not_found_and_the_key_is_named(
    trained: ServedModel, client_of: Client
):
    client = client_of(Replica(trained))
    assert "table=" in refused(client, 404, None, query="SECRET")
    assert client.get("/v1/models").json()["data"][0]["table"] is None


def test_texts_are_given_only_where_the_operator_says_so(
    trained_folder: Path, table: Path, client_of: Client
):
    client = client_of(Replica(load(trained_folder, table=str(table))))
    assert all("fields" not in entry for entry in ask(client, query=QUESTION)["data"])
    off = load(trained_folder, table=str(table), search={"enabled": False})
    assert off.table is None


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
