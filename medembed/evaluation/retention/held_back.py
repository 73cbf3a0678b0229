"""Make a data set of each kind of queries that were held back from training (`splits.hold_back`).

They are asked of the same corpus as those that are trained on. A sample of it goes with them, so
that a large corpus is not encoded twice.
"""

from collections.abc import Iterator
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from medembed.artifact import find_output, place
from medembed.data.dataset import Dataset
from medembed.data.small import Tables, write_small
from medembed.evaluation.retention.names import held_back_name
from medembed.evaluation.sample import draw_sample
from medembed.language import tr
from medembed.lineage import DatasetManifest
from medembed.schema import HELD_BACK, fingerprint

_QUERIES = 300  # at most
_DOCUMENTS = 1000  # at most, but for documents that are judged


class HeldBack(NamedTuple):
    """Queries of a kind that was not trained on, as a data set of their own."""

    name: str
    dataset: Dataset
    worth: str


def make_held_back(trained: Dataset, output: str) -> Iterator[HeldBack]:
    """Make sets of what `trained` has held back, at `output` with a {key}, or find them again."""
    for kind, value in trained.hold_back.items():
        name = held_back_name(kind, value)
        yield HeldBack(name, _make(trained, kind, value, output), _explain_worth(kind, value))


def _make(trained: Dataset, kind: str, value: str, output: str) -> Dataset:
    key = fingerprint([HELD_BACK, trained.fingerprint, kind, value, _QUERIES, _DOCUMENTS])
    output = place(output, key)
    manifest = find_output(output, DatasetManifest, key)
    if manifest is not None:
        return Dataset(output, manifest)
    queries = trained.queries(HELD_BACK, value if kind == "tag" else None)
    if kind == "language":
        queries = queries.filter(pc.equal(queries["language"], value))
    others = set(trained.query_ids().to_pylist()).difference(queries["query_id"].to_pylist())
    sample = draw_sample(
        trained, HELD_BACK, None, queries=_QUERIES, documents=_DOCUMENTS, left_out=others
    )
    asked = pa.array([name for name, _ in sample.queries], pa.string())
    rows = pa.array([name for name, _ in sample.documents], pa.string())
    corpus = trained.corpus()
    queries = queries.filter(pc.is_in(queries["query_id"], value_set=asked))
    split = pa.array(["test"] * queries.num_rows, pa.string())
    tables = Tables(
        corpus.filter(pc.is_in(corpus["document_id"], value_set=rows)),
        queries.set_column(queries.column_names.index("split"), "split", split),
        trained.judgments(asked),
    )
    about = trained.manifest
    return write_small(
        output, key, tables, form="held back", source=about.source, licence=about.licence
    )


def _explain_worth(kind: str, value: str) -> str:
    which = (
        tr("with the tag {value}", value=value)
        if kind == "tag"
        else tr("in the language {value}", value=value)
    )
    return tr(
        "made of the queries {which}, which nothing was trained on, and of documents of the same "
        "corpus: it shows whether the model still answers a kind of question that it was not "
        "trained on, not what is lost on other topics",
        which=which,
    )
