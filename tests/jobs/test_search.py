"""`medembed search` finds, prints and keeps documents, and refuses what it cannot do."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from jobs.search import SearchJob, run
from medembed.bits import from_bits, measure_bits, to_bits
from medembed.config import load_config
from medembed.data.dataset import Dataset
from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import Encoder
from medembed.encoding.index import build_index
from medembed.encoding.model_files import fetch_model, model_fingerprint
from medembed.encoding.open_table import open_table_of
from medembed.encoding.table import Table
from medembed.errors import ConfigError, ModelError, StorageError
from medembed.search.corpus import top_k
from tests.tables import write_corpus, write_table
from tests.tiny import SIGNS, SUBJECTS, WIDTH

TEXTS = {
    f"{subject}#chunk-{number}": f"{sign} of the {subject}, grade {number}."
    for subject in SUBJECTS
    for number, sign in enumerate(SIGNS[:3])
} | {sign: f"{sign} without a cause." for sign in SIGNS}
QUERIES = {"q1": "heart pain", "q2": "what is kidney swelling", "q3": "lung bleeding 3"}


class Searched:
    """A job searches a table of the texts by the tiny encoder."""

    def __init__(self, root: Path, model: str) -> None:
        encoder = Encoder.load(model, EncodingConfig())
        self.vectors, self.queries = (
            encoder.encode(list(TEXTS.values())),
            encoder.encode(list(QUERIES.values())),
        )
        self.dataset: Dataset = write_corpus(
            root / "data", [{"document_id": name, "text": text} for name, text in TEXTS.items()], 20
        )
        self.fingerprint = model_fingerprint(fetch_model(model))
        place = root / "tables" / f"{self.fingerprint}.lance"
        self.table: Table = write_table(place, self.dataset, self.vectors, encoder=self.fingerprint)
        file = root / "queries.jsonl"
        file.write_text(
            "".join(
                json.dumps({"_id": name, "text": text}) + "\n" for name, text in QUERIES.items()
            )
        )
        self.job = SearchJob(table=str(root / "tables"), model=model, queries=str(file), k=4)

    def exact(self, dimensions: int, k: int = 4) -> list[list[str]]:
        return top_k(
            self.queries, list(TEXTS), self.vectors, k, dimensions, by_document=True
        ).row_ids.tolist()


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory, encoder_folder: Path) -> Searched:
    return Searched(tmp_path_factory.mktemp("search"), str(encoder_folder))


def printed(lines: list[str]) -> list[str]:
    """Return the ids in the lines `rank  score  id  text`."""
    return [line.split()[2] for line in lines if re.match(r" +\d+  ", line)]


@pytest.mark.ray
@pytest.mark.usefixtures("ray_local", "no_actors")
def test_the_nearest_documents_are_printed_for_each_query_and_kept_only_if_asked(
    searched: Searched, tmp_path: Path
):
    summary = run(searched.job.model_copy(update={"dimensions": 16}))
    expected = searched.exact(16)
    assert printed(summary["lines"]) == [name for names in expected for name in names]
    assert summary["lines"][0].endswith("46 rows: exact search at 16 dimensions")
    assert summary["output"] is None
    assert not [
        text for text in [*TEXTS.values(), *QUERIES.values()] if text in "\n".join(summary["lines"])
    ]

    kept = run(searched.job.model_copy(update={"dimensions": 16, "output": str(tmp_path / "out")}))
    rows = pq.read_table(tmp_path / "out/results.parquet").to_pylist()
    assert [row["row_id"] for row in rows] == printed(kept["lines"])
    assert {row["document_id"] for row in rows if row["query_id"] == "q1"} == {
        name.split("#")[0] for name in expected[0]
    }
    assert [row["rank"] for row in rows] == [1, 2, 3, 4] * 3


@pytest.mark.ray
@pytest.mark.usefixtures("ray_local", "no_actors")
def test_texts_are_printed_beside_their_ids_only_if_asked_for(searched: Searched):
    job = searched.job.model_copy(update={"queries": None, "query": QUERIES["q2"]})
    summary = run(job.model_copy(update={"show_text": True, "data": searched.dataset.uri}))
    best = searched.exact(WIDTH)[1]
    assert printed(summary["lines"]) == best
    assert [
        line.partition(name)[2].strip()
        for line, name in zip(summary["lines"][1:], best, strict=True)
    ] == [TEXTS[name] for name in best]


@pytest.mark.ray
@pytest.mark.usefixtures("ray_local", "no_actors")
def test_a_funnel_of_all_documents_finds_what_exact_search_finds_and_says_so(searched: Searched):
    job = searched.job.model_copy(update={"first_dimensions": 4, "candidates": 40, "measure": True})
    summary = run(job)
    assert printed(summary["lines"]) == [name for names in searched.exact(WIDTH) for name in names]
    assert "40 candidates by 4 dimensions, ranked by 32" in summary["lines"][0]
    assert summary["quality"]["recall"] == 1
    assert summary["lines"][-1].startswith(
        "the funnel finds 100.0% of exact search's best 4 (3 queries), in "
    )


@pytest.mark.ray
@pytest.mark.usefixtures("ray_local", "no_actors")
@pytest.mark.parametrize("codes", ["binary", "int8"])
def test_codes_of_all_documents_find_what_exact_search_finds_and_say_so(
    searched: Searched, codes: str
):
    more = {"first_codes": codes, "first_dimensions": 16, "candidates": 40, "measure": True}
    summary = run(searched.job.model_copy(update=more))
    assert printed(summary["lines"]) == [name for names in searched.exact(WIDTH) for name in names]
    said = f"40 candidates by {codes} codes of 16 dimensions, ranked by 32"
    assert said in summary["lines"][0]
    assert summary["quality"]["recall"] == 1
    assert summary["funnel"]["first_codes"] == codes


@pytest.mark.ray
@pytest.mark.usefixtures("ray_local", "no_actors")
def test_a_table_of_bits_is_searched_by_its_bits_and_has_nothing_finer(
    searched: Searched, tmp_path: Path
):
    place = tmp_path / f"{searched.fingerprint}.lance"
    table = write_table(
        place, searched.dataset, searched.vectors, encoder=searched.fingerprint, storage="binary"
    )
    job = searched.job.model_copy(update={"table": table.uri})
    levels = measure_bits([searched.vectors])
    kept = from_bits(to_bits(searched.vectors, levels), levels)
    exact = top_k(searched.queries, list(TEXTS), kept, 4, by_document=True).row_ids
    names = [name for line in exact.tolist() for name in line]
    assert printed(run(job)["lines"]) == names
    by_bits = job.model_copy(update={"first_codes": "binary", "candidates": 40})
    assert printed(run(by_bits)["lines"]) == names
    with pytest.raises(ConfigError, match="keeps bits, of which no int8 codes can be made"):
        run(job.model_copy(update={"first_codes": "int8"}))


@pytest.mark.ray
@pytest.mark.usefixtures("ray_local", "no_actors")
def test_an_index_that_is_searched_whole_finds_what_exact_search_finds_and_says_so(
    searched: Searched, tmp_path: Path
):
    copied = tmp_path / f"{searched.fingerprint}.lance"
    shutil.copytree(searched.table.uri, copied)
    build_index(replace(searched.table, uri=str(copied)), partitions=3)
    more = {"table": str(copied), "use_index": True, "probes": 3, "refine": 50, "measure": True}
    summary = run(searched.job.model_copy(update=more))
    assert printed(summary["lines"]) == [name for names in searched.exact(WIDTH) for name in names]
    assert summary["lines"][0].endswith("46 rows: index IVF_RQ")
    assert summary["index"]["rows"] == 46
    assert summary["quality"]["recall"] == 1
    assert summary["lines"][-1].startswith(
        "the index finds 100.0% of exact search's best 4 (3 queries), in "
    )


def test_an_index_that_is_not_there_or_not_of_these_dimensions_is_refused(searched: Searched):
    with pytest.raises(
        StorageError, match="no vector index; .* build one by: medembed table index table=/"
    ):
        run(searched.job.model_copy(update={"use_index": True}))
    with pytest.raises(
        ConfigError, match="dimensions: found 16, but the index has all 32; leave out dimensions or"
    ):
        run(searched.job.model_copy(update={"use_index": True, "dimensions": 16}))


def test_a_query_from_another_encoder_is_refused(searched: Searched, prompted_folder: Path):
    job = searched.job.model_copy(
        update={"model": str(prompted_folder), "table": searched.table.uri}
    )
    with pytest.raises(StorageError, match="never compared"):
        run(job)


def test_a_table_is_found_by_its_uri_its_folder_or_its_key(searched: Searched, tmp_path: Path):
    folder = searched.table.uri.rpartition("/")[0]
    for uri in (searched.table.uri, folder, f"{folder}/{{key}}.lance"):
        assert open_table_of(uri, searched.fingerprint) == searched.table
    with pytest.raises(StorageError, match="no embedding table there, nor one of encoder"):
        open_table_of(str(tmp_path), searched.fingerprint)


def test_dimensions_that_the_model_lacks_are_named(searched: Searched):
    with pytest.raises(ModelError, match=r"found \[64\], but the model has 32"):
        run(searched.job.model_copy(update={"dimensions": 64}))
    with pytest.raises(ModelError, match=r"found \[33\], but the model has 32"):
        run(searched.job.model_copy(update={"first_dimensions": 33}))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ((), "expected one of query=... and queries=<file>"),
        (("query=a", "queries=q.txt"), "expected one of query=... and queries=<file>"),
        (("query=a", "show_text=true"), "give data=<data set>"),
        (("query=a", "measure=true"), "give first_dimensions=..., first_codes=... or"),
        (("query=a", "use_index=true", "first_codes=int8"), "choose the index or the funnel"),
        (("query=a", "first_codes=bits"), "first_codes: Input should be 'int8' or 'binary'"),
        (("query=a", "use_index=true", "first_dimensions=8"), "choose the index or the funnel"),
        (("query=a", "probes=4"), "probes, refine: only an index has them; give use_index=true"),
        (("query=a", "candidates=50"), "candidates: only the funnel has them; give first_dim"),
        (("query=a", "k=0"), "k: Input should be greater than or equal to 1"),
    ],
)
def test_what_does_not_go_together_is_refused(more: tuple[str, ...], message: str):
    with pytest.raises(ConfigError, match=re.escape(message)):
        load_config(SearchJob, ["table=t", "model=m", *more])
