"""Check that mining with an earlier run's memory gives the bytes of mining anew."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medembed.data.config import SourceConfig, SplitConfig
from medembed.data.dataset import Dataset, open_dataset
from medembed.data.prepare import prepare
from medembed.encoding.config import EncodingConfig
from medembed.encoding.delta import changes_since, list_files
from medembed.encoding.table import Table
from medembed.errors import DataError
from medembed.mining.config import MiningConfig
from medembed.mining.examples import Examples, open_examples
from medembed.mining.mine import mine
from tests.tables import encode_dataset
from tests.tiny import SIGNS, SUBJECTS

ENCODING = EncodingConfig(workers=1)
QUERIES = 40
pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_local", "no_actors")]


QUESTIONS = {f"q{n}": f"{SUBJECTS[n % 7]} {SIGNS[n % 5]} {n}" for n in range(QUERIES)}


def write_data(
    root: Path, texts: Mapping[str, str], questions: Mapping[str, str] = QUESTIONS
) -> Dataset:
    """Write these documents, and training queries that the documents of the same number answer."""
    (root / "source/qrels").mkdir(parents=True)
    rows = [json.dumps({"_id": name, "text": text}) for name, text in texts.items()]
    (root / "source/corpus.jsonl").write_text("\n".join(rows))
    rows = [json.dumps({"_id": name, "text": text}) for name, text in questions.items()]
    (root / "source/queries.jsonl").write_text("\n".join(rows))
    rows = ["query-id\tcorpus-id\tscore", *(f"{name}\td{name[1:]}\t1" for name in questions)]
    (root / "source/qrels/train.tsv").write_text("\n".join(rows) + "\n")
    return prepare(SourceConfig(path=str(root / "source")), SplitConfig(), str(root / "data"))


def texts_of(count: int) -> dict[str, str]:
    return {
        f"d{n}": f"{SIGNS[n % 6]} that affects the {SUBJECTS[n % 11]}, grade {n}."
        for n in range(count)
    }


def mined(
    dataset: Dataset, table: Table, model: Path, output: Path, **settings: object
) -> Examples:
    config = MiningConfig.model_validate({"negatives": 3, "window": 6, "margin": None} | settings)
    return mine(dataset, table, str(model), str(output), config, ENCODING)


def written(examples: Examples) -> dict[str, bytes]:
    """Return what training and people read, not what the next run remembers.

    Its lists may be of other lengths.
    """
    names = [name for name in examples.manifest.files if name.endswith((".parquet", ".json"))]
    return {name: Path(examples.uri, name).read_bytes() for name in names}


@pytest.fixture(scope="module")
def first(
    encoder_folder: Path, tmp_path_factory: pytest.TempPathFactory, ray_local: None
) -> tuple[Path, Table]:
    """Return a folder with a table of 150 documents and examples from it."""
    root = tmp_path_factory.mktemp("grow")
    dataset = write_data(root / "1", texts_of(150))
    table = encode_dataset(dataset, encoder_folder, root / "t.lance")
    mined(dataset, table, encoder_folder, root / "examples")
    return root, table


def test_only_queries_near_which_something_changed_are_searched_again_and_no_byte_differs(
    first: tuple[Path, Table], encoder_folder: Path, caplog: pytest.LogCaptureFixture
):
    root, before = first
    texts = texts_of(150)
    nearest = open_examples(str(root / "examples")).read()[0]["negative_ids"]
    # a query's negatives that answer no other
    gone = [name for name in nearest if int(name[1:]) >= QUERIES]
    for name in gone:
        del texts[name]
    texts["d149"] = texts["d0"]  # the same document twice: one stays
    texts["d148"] = "Another text altogether."
    texts |= {
        f"new{n}": f"{SIGNS[n % 6]} that affects the {SUBJECTS[n % 11]}, grade {n}, again."
        for n in range(9)
    }
    dataset = write_data(root / "2", texts)
    table = encode_dataset(dataset, encoder_folder, before.uri)
    delta = changes_since(table, list_files(before), before.version)
    assert gone
    assert delta.still_there(texts_of(150)) == texts_of(150).keys() - {"d148", "d149", *gone}
    assert sum(shard["rows"] for shard in delta.added) == 10
    caplog.set_level(logging.INFO)
    mended = mined(dataset, table, encoder_folder, root / "mended", previous=str(root / "examples"))
    assert "40 of 40 queries keep their earlier lists; 10 new rows are searched" in caplog.text
    anew = mined(dataset, table, encoder_folder, root / "anew")
    assert written(mended) == written(anew)
    assert any(name.startswith("new") for row in anew.read() for name in row["negative_ids"])
    assert mended.manifest.key == anew.manifest.key, (
        "how it was searched is no part of what was found"
    )


CHANGE = st.tuples(
    st.sampled_from(["add", "edit", "copy", "delete", "ask", "reword", "drop"]), st.integers(0, 999)
)


def change(texts: dict[str, str], questions: dict[str, str], kind: str, n: int) -> None:
    """Make one change of the documents or the training queries; what a query needs stays."""
    sign, subject = SIGNS[n % 6], SUBJECTS[n % 11]
    name, asked = sorted(texts)[n % len(texts)], sorted(questions)[n % len(questions)]
    free = sorted(texts.keys() - {f"d{query[1:]}" for query in questions})
    if kind == "add":
        texts[f"d{1000 + n}"] = f"{sign} that affects the {subject}, grade {n}, again."
    elif kind == "edit":
        texts[name] = f"{sign} of the {subject}, told in other words for the {n}th time."
    elif kind == "copy":
        texts[name] = texts[sorted(texts)[(n * 7) % len(texts)]]
    elif kind == "delete" and free:
        del texts[free[n % len(free)]]
    elif kind == "ask":
        questions[f"q{name[1:]}"] = f"what of {subject} {sign} {n}"
    elif kind == "reword":
        questions[asked] = f"and {subject} {sign} {n}"
    elif kind == "drop" and len(questions) > 1:
        del questions[asked]


@settings(max_examples=4, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(rounds=st.lists(st.lists(CHANGE, min_size=1, max_size=12), min_size=1, max_size=2))
def test_after_any_changes_what_is_mended_is_what_is_mined_anew(
    encoder_folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
    rounds: list[list[tuple[str, int]]],
):
    root, previous = tmp_path_factory.mktemp("changes"), None
    texts, questions = texts_of(60), dict(QUESTIONS)
    for number, changes in enumerate([[], *rounds]):
        for kind, n in changes:
            change(texts, questions, kind, n)
        dataset = write_data(root / str(number), texts, questions)
        table = encode_dataset(dataset, encoder_folder, root / "t.lance")
        anew = mined(dataset, table, encoder_folder, root / f"anew{number}")
        if previous is not None:
            mended = mined(
                dataset, table, encoder_folder, root / f"mended{number}", previous=previous.uri
            )
            assert written(mended) == written(anew), changes
            previous = mended
        else:
            previous = anew


def test_lists_of_other_vectors_are_refused(
    first: tuple[Path, Table], encoder_folder: Path, tmp_path: Path
):
    root, table = first
    dataset = open_dataset(str(root / "1/data"))
    settings = {"previous": str(root / "examples"), "dimensions": 8}
    message = "mining.previous .*examples: mined with dimensions 32, but this run has 8; leave"
    with pytest.raises(DataError, match=message):
        mined(dataset, table, encoder_folder, tmp_path / "out", **settings)
    assert not (tmp_path / "out").exists()
