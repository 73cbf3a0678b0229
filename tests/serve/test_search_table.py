"""The table that a server searches: by an index, of another model, swapped, pinned."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from medembed.data.dataset import open_dataset
from medembed.encoding.codec import Storage
from medembed.encoding.commit import commit_table
from medembed.encoding.index import build_index
from medembed.encoding.table import find_table
from medembed.errors import ConfigError, MedEmbedError
from medembed.search.corpus import top_k
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
    refused(indexed, 400, "first_codes", query="SECRET", first_codes="binary")
    with pytest.raises(ConfigError, match="search.codes: found binary, but search.by=index holds"):
        load(trained_folder, table=table.uri, search=settings | {"codes": "binary"})


@pytest.mark.parametrize("codes", ["binary", "int8"])
def test_a_replica_may_hold_codes_alone_and_ranks_by_the_tables_vectors(
    trained_folder: Path,
    searched: ServedModel,
    table: Path,
    documents: Path,
    codes: str,
    client_of: Client,
):
    settings = {"codes": codes, "documents": str(documents), "fields": ["language"]}
    served = load(trained_folder, table=str(table), search=settings)
    assert (served.model["table"]["codes"], served.model["table"]["storage"]) == (codes, "float32")
    coded, plain = client_of(Replica(served)), client_of(Replica(searched))
    asked = {"query": [QUESTION, "skin"], "k": 5}
    exact = [ids(line) for line in ask(plain, **asked)["data"]]
    assert [ids(line) for line in ask(coded, **asked)["data"]] == exact, "200 are all documents"
    few = asked | {"first_codes": "binary", "first_dimensions": 8, "candidates": 6}
    found = [ids(line) for line in ask(coded, **few)["data"]]
    if codes == "binary":
        assert found == [ids(line) for line in ask(plain, **few)["data"]]
    assert found != exact, "by one byte"
    english = ask(coded, **asked, filter={"language": "en"})["data"]
    assert [ids(line) for line in english] == exact
    assert ask(coded, **asked, filter={"language": "fr"})["data"][0]["data"] == []
    refused(plain, 400, "first_codes", query="SECRET", first_codes="int8")
    refused(plain, 400, "first_codes", query="SECRET", first_codes="bits")
    refused(plain, 400, "candidates", query="SECRET", first_codes="binary", candidates=3)
    if codes == "binary":
        refused(coded, 400, "first_codes", query="SECRET", first_codes="int8")


@pytest.mark.parametrize("storage", ["int8", "binary"])
def test_a_table_of_codes_is_searched_as_it_is_kept(
    trained_folder: Path,
    searched: ServedModel,
    documents: Path,
    tmp_path: Path,
    storage: Storage,
    client_of: Client,
):
    vectors = searched.encoder.encode([*ROWS.values()])
    corpus = open_dataset(str(documents))
    fingerprint = searched.encoder.fingerprint
    table = write_table(tmp_path / "t", corpus, vectors, encoder=fingerprint, storage=storage)
    served = load(trained_folder, table=table.uri)
    assert (served.model["table"]["codes"], served.model["table"]["storage"]) == (None, storage)
    client = client_of(Replica(served))
    query = searched.encoder.encode([QUESTION], "query")
    for dimensions in (8, 32):
        kept = table.lookup([*ROWS])
        best = top_k(query, [*ROWS], kept, 5, dimensions, by_document=True)
        answer = ask(client, query=QUESTION, k=5, dimensions=dimensions)
        assert ids(answer) == best.ids[0].tolist()
        by_bits = {"first_codes": "binary", "dimensions": dimensions}
        assert ids(ask(client, query=QUESTION, k=5, **by_bits)) == ids(answer)
    if storage == "binary":
        refused(client, 400, "first_codes", query="SECRET", first_codes="int8")
        with pytest.raises(ConfigError, match="keeps bits, of which no int8 codes can be made"):
            load(trained_folder, table=table.uri, search={"codes": "int8"})
    else:
        asked = {"query": QUESTION, "k": 5, "first_codes": "int8"}
        assert ids(ask(client, **asked)) == ids(ask(client, query=QUESTION, k=5))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"table": "nowhere"}, "no embedding table there"),
        ({"search.max_rows": 9}, "medembed table index"),
        ({"search.by": "index"}, "no vector index"),
        ({"search.by": "index", "search.codes": "int8"}, "no vector index"),
        ({"search.codes": "bits"}, "'int8' or 'binary'"),
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
