"""The table that a server searches: by an index, of another model, swapped, pinned."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from medembed.data.dataset import open_dataset
from medembed.encoding.commit import commit_table
from medembed.encoding.index import build_index
from medembed.encoding.table import find_table
from medembed.errors import MedEmbedError
from serve.app import build
from serve.replica.protocol import EmbedCall, Embedded, Refused
from serve.replica.search import SearchCall, SearchResult, search
from serve.replica.served_model import ServedModel
from tests.serve.conftest import ROWS, Client, load
from tests.serve.replicas import Replica, answer_alone
from tests.serve.test_search import QUESTION, ask, ids, refused
from tests.tables import rows_at, write_table


def test_an_index_searches_at_full_width_alone(
    trained_folder: Path, searched: ServedModel, documents: Path, tmp_path: Path, client_of: Client
):
    vectors = searched.encoder.encode([*ROWS.values()])
    corpus = open_dataset(str(documents))
    table = write_table(tmp_path / "t", corpus, vectors, encoder=searched.encoder.fingerprint)
    build_index(table, "IVF_FLAT", 1)
    settings = {"by": "index", "max_rows": 1}
    indexed = client_of(Replica(load(trained_folder, table=table.uri, search=settings)))
    exact = client_of(Replica(searched))
    for query in (QUESTION, "skin"):
        assert ids(ask(indexed, query=query, k=5)) == ids(ask(exact, query=query, k=5))
    assert len(ask(indexed, query=[QUESTION, "skin"], k=5)["data"]) == 2
    refused(indexed, 400, "dimensions", query="SECRET", dimensions=8)
    refused(indexed, 400, "filter", query="SECRET", filter={"language": "en"})
    refused(indexed, 400, "first_dimensions", query="SECRET", first_dimensions=8)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"table": "nowhere"}, "no embedding table there"),
        ({"search.max_rows": 9}, "medembed table index"),
        ({"search.by": "index"}, "no vector index"),
        ({"search.by": "memori"}, "'memory' or 'index'"),
        ({"search.documents": "nowhere"}, "no manifest.json there"),
        ({"search.fields": ["texts"]}, "search.fields"),
    ],
)
def test_a_table_that_cannot_be_searched_starts_nothing(
    trained_folder: Path, table: Path, arguments: dict[str, Any], says: str
):
    with pytest.raises(MedEmbedError) as caught:
        build({"model": str(trained_folder), "table": str(table), **arguments})
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_table_of_another_model_and_documents_of_another_table_start_nothing(
    encoder_folder: Path, trained_folder: Path, table: Path, documents: Path, tmp_path: Path
):
    with pytest.raises(MedEmbedError, match="never compared"):
        build({"model": str(encoder_folder), "table": str(table)})
    manifest = json.loads((documents / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps(manifest | {"fingerprint": "another"}))
    with pytest.raises(MedEmbedError, match="data set another, but .* was made from by hand"):
        build(
            {"model": str(trained_folder), "table": str(table), "search.documents": str(tmp_path)}
        )


def test_a_swap_while_a_query_is_encoded_begins_again_with_the_new_pair(
    searched: ServedModel, trained_folder: Path
):
    other = load(trained_folder, table=searched.table.table.uri)
    newer = ServedModel(other.encoder, other.model | {"version": "4"}, None, other.table)
    # as it stands: when asked, when encoded, when asked again, ...
    current = [searched, newer, newer, newer]
    seen: list[str] = []

    async def embed(call: EmbedCall) -> Embedded | Refused:
        served = current.pop(0)
        seen.append(served.model["version"])
        return await answer_alone(call, served)

    result = asyncio.run(search(SearchCall(["heart"], 3), lambda: current.pop(0), embed))
    assert isinstance(result, SearchResult)
    assert (seen, result.model["version"]) == (["4", "4"], "4")
    assert "fields" not in result.hits[0][0]


def test_the_pinned_version_is_served_whatever_comes_after(
    trained_folder: Path, searched: ServedModel, documents: Path, tmp_path: Path
):
    vectors = searched.encoder.encode([*ROWS.values()])
    first = write_table(
        tmp_path / "t", open_dataset(str(documents)), vectors, encoder=searched.encoder.fingerprint
    )
    second = commit_table(first.uri, [], first.info, base=first, dead=rows_at(first, [5, 6]))
    pinned = load(trained_folder, table=first.uri, table_version=first.version)
    newest = load(trained_folder, table=first.uri)
    assert [one.model["table"]["rows"] for one in (pinned, newest)] == [len(ROWS), len(ROWS) - 2]
    assert find_table(first.uri).version == second.version
