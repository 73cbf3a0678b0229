"""After the corpus changed, what is mined with an earlier run's memory is what is mined anew, byte for byte."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path

import pytest

from medembed.data.config import SourceConfig, SplitConfig
from medembed.data.dataset import Dataset
from medembed.data.prepare import prepare
from medembed.encoding.config import EncodingConfig
from medembed.encoding.delta import changes_since, list_files
from medembed.encoding.encode import encode_corpus
from medembed.encoding.table import Table
from medembed.errors import DataError
from medembed.mining.config import MiningConfig
from medembed.mining.examples import Examples, open_examples
from medembed.mining.mine import mine
from tests.tiny import SIGNS, SUBJECTS

ENCODING = EncodingConfig(workers=1)
QUERIES = 40
pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_local", "no_actors")]


def write_data(root: Path, texts: Mapping[str, str]) -> Dataset:
    """A data set with these documents, and 40 training queries that d0 to d39 answer."""
    (root / "source/qrels").mkdir(parents=True)
    rows = [json.dumps({"_id": name, "text": text}) for name, text in texts.items()]
    (root / "source/corpus.jsonl").write_text("\n".join(rows))
    rows = [json.dumps({"_id": f"q{n}", "text": f"{SUBJECTS[n % 7]} {SIGNS[n % 5]} {n}"}) for n in range(QUERIES)]
    (root / "source/queries.jsonl").write_text("\n".join(rows))
    rows = ["query-id\tcorpus-id\tscore", *(f"q{n}\td{n}\t1" for n in range(QUERIES))]
    (root / "source/qrels/train.tsv").write_text("\n".join(rows) + "\n")
    return prepare(SourceConfig(path=str(root / "source")), SplitConfig(), str(root / "data"))


def texts_of(count: int) -> dict[str, str]:
    return {f"d{n}": f"{SIGNS[n % 6]} that affects the {SUBJECTS[n % 11]}, grade {n}." for n in range(count)}


def mined(dataset: Dataset, table: Table, model: Path, output: Path, **settings: object) -> Examples:
    config = MiningConfig.model_validate({"negatives": 3, "window": 6, "margin": None} | settings)
    return mine(dataset, table, str(model), str(output), config, ENCODING)


def written(examples: Examples) -> dict[str, bytes]:
    """What training and people read; not what the next run remembers, whose lists may be of other lengths."""
    names = [name for name in examples.manifest["files"] if name.endswith((".parquet", ".json"))]
    return {name: Path(examples.uri, name).read_bytes() for name in names}


@pytest.fixture(scope="module")
def first(encoder_folder: Path, tmp_path_factory: pytest.TempPathFactory, ray_local: None) -> tuple[Path, Table]:
    """A folder with a table of 150 documents and examples from it."""
    root = tmp_path_factory.mktemp("grow")
    dataset = write_data(root / "1", texts_of(150))
    table = encode_corpus(
        dataset.corpus_files(), dataset.fingerprint, str(encoder_folder), str(root / "t.lance"), ENCODING
    )
    mined(dataset, table, encoder_folder, root / "examples")
    return root, table


def test_only_queries_near_which_something_changed_are_searched_again_and_no_byte_differs(
    first: tuple[Path, Table], encoder_folder: Path, caplog: pytest.LogCaptureFixture
):
    root, before = first
    texts = texts_of(150)
    nearest = open_examples(str(root / "examples")).read()[0]["negative_ids"]
    gone = [name for name in nearest if int(name[1:]) >= QUERIES]  # a query's negatives that answer no other
    for name in gone:
        del texts[name]
    texts["d149"] = texts["d0"]  # the same document twice: one stays
    texts["d148"] = "Another text altogether."
    texts |= {f"new{n}": f"{SIGNS[n % 6]} that affects the {SUBJECTS[n % 11]}, grade {n}, again." for n in range(9)}
    dataset = write_data(root / "2", texts)
    table = encode_corpus(dataset.corpus_files(), dataset.fingerprint, str(encoder_folder), before.uri, ENCODING)
    delta = changes_since(table, list_files(before), before.version)
    assert gone
    assert delta.still_there(texts_of(150)) == texts_of(150).keys() - {"d148", "d149", *gone}
    assert sum(shard["rows"] for shard in delta.added) == 10
    caplog.set_level(logging.INFO)
    mended = mined(dataset, table, encoder_folder, root / "mended", previous=str(root / "examples"))
    assert "40 of 40 queries have lists that hold but for 10 new rows" in caplog.text
    anew = mined(dataset, table, encoder_folder, root / "anew")
    assert written(mended) == written(anew)
    assert any(name.startswith("new") for row in anew.read() for name in row["negative_ids"])
    assert mended.manifest["key"] == anew.manifest["key"], "how it was searched is no part of what was found"


def test_lists_of_other_vectors_are_refused(first: tuple[Path, Table], encoder_folder: Path, tmp_path: Path):
    root, table = first
    dataset = Dataset(str(root / "1/data"), json.loads((root / "1/data/manifest.json").read_text()))
    with pytest.raises(
        DataError, match="mining.previous .*examples: mined with dimensions 32, but this run has 8; leave"
    ):
        mined(dataset, table, encoder_folder, tmp_path / "out", previous=str(root / "examples"), dimensions=8)
    assert not (tmp_path / "out").exists()
