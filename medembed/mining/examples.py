"""Write and read mined examples: Parquet files in one of two formats beside a manifest."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from medembed import storage
from medembed.artifact import NewOutput, read_manifest
from medembed.data.dataset import to_table
from medembed.errors import DataError
from medembed.lineage import ExamplesManifest, Source
from medembed.mining.judgments import Positive
from medembed.mining.negatives import Negative
from medembed.mining.texts import CorpusRows
from medembed.schema import EXAMPLE_ROWS, EXAMPLES

COUNTS = "mining.json"
LISTS = (
    "negative_ids",
    "negatives",
    "negative_scores",
    "negative_ranks",
    "negative_judged",
    "negative_second_scores",
)
_ROWS_PER_FILE = 8192  # examples; so many texts are in memory at once


@dataclass(frozen=True)
class Example:
    """A pair with its negatives, by ids; its texts are in the corpus."""

    query_id: str
    query: str
    positive: Positive
    negatives: tuple[Negative, ...]


@dataclass(frozen=True)
class Examples:
    """Finished training examples: where they lie and what their manifest says."""

    uri: str
    manifest: ExamplesManifest

    @property
    def fingerprint(self) -> str:
        return self.manifest.key

    @property
    def as_source(self) -> Source:
        """Name these examples as the parent of what is made of them."""
        return Source(self.fingerprint, self.uri)

    def check_lists(self) -> None:
        """Raise DataError if each negative has a row of its own, which training does not read."""
        if not self.manifest.is_lists:
            raise DataError(
                "{uri}: examples with a row for each negative, but training reads lists; mine "
                "with mining.format=lists.",
                uri=self.uri,
            )

    def read(self) -> list[dict[str, Any]]:
        """Return all rows: `schema.EXAMPLES` or, in the format rows, `schema.EXAMPLE_ROWS`."""
        rows: list[dict[str, Any]] = []
        for name in self.manifest.files:
            if name.endswith(".parquet"):
                rows += storage.read_parquet(storage.join(self.uri, name)).to_pylist()
        return rows

    def read_counts(self) -> dict[str, Any]:
        """Return what mining counted, as `Tally.to_json` has it."""
        return dict(json.loads(storage.read_bytes(storage.join(self.uri, COUNTS))))


def open_examples(uri: str) -> Examples:
    """Open the examples at `uri`. Raises StorageError if there are none."""
    return Examples(uri, read_manifest(uri, ExamplesManifest))


def write_examples(
    examples: Sequence[Example], rows: CorpusRows, form: str, target: NewOutput
) -> None:
    """Write Parquet files of examples in this order, in the format `lists` or `rows`."""
    is_lists = form == "lists"
    for number, start in enumerate(range(0, len(examples), _ROWS_PER_FILE)):
        written: list[dict[str, Any]] = []
        for example in examples[start : start + _ROWS_PER_FILE]:
            if is_lists:
                written.append(_to_lists(example, rows))
            else:
                written += _to_rows(example, rows)
        table = to_table(written, EXAMPLES if is_lists else EXAMPLE_ROWS)
        target.write_parquet(f"part-{number:05d}.parquet", table)


def _to_lists(example: Example, rows: CorpusRows) -> dict[str, Any]:
    """Return an example as `schema.EXAMPLES` has it."""
    lists: dict[str, Any] = {name: [] for name in LISTS}
    for negative in example.negatives:
        lists["negative_ids"].append(negative.row_id)
        lists["negatives"].append(rows.text(negative.row_id))
        lists["negative_scores"].append(negative.score)
        lists["negative_ranks"].append(negative.rank)
        lists["negative_judged"].append(negative.judged)
        lists["negative_second_scores"].append(negative.second)
    if example.positive.second is None:
        lists["negative_second_scores"] = None
    return _pair(example, rows) | lists


def _to_rows(example: Example, rows: CorpusRows) -> Iterator[dict[str, Any]]:
    """Give a row for each negative, as `schema.EXAMPLE_ROWS` has it."""
    pair = _pair(example, rows) if example.negatives else {}
    for negative in example.negatives:
        yield pair | {
            "negative_id": negative.row_id,
            "negative": rows.text(negative.row_id),
            "negative_score": negative.score,
            "negative_rank": negative.rank,
            "negative_judged": negative.judged,
            "negative_second_score": negative.second,
        }


def _pair(example: Example, rows: CorpusRows) -> dict[str, Any]:
    return {
        "query_id": example.query_id,
        "query": example.query,
        "positive_id": example.positive.row_id,
        "positive": rows.text(example.positive.row_id),
        "positive_score": example.positive.score,
        "positive_second_score": example.positive.second,
    }
