"""Find the queries that something is judged for, with their judgments."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from medembed.data.dataset import Dataset
from medembed.evaluation.config import EvaluationConfig
from medembed.evaluation.metrics import Values
from medembed.evaluation.result import Units

logger = logging.getLogger(__name__)

UNKNOWN = "und"  # ISO 639 for a language that nobody named


@dataclass(frozen=True)
class Questions:
    """Queries (`schema.QUERIES`) by id, each with a positive or a scored pair, and judgments.

    `lines` int64 [P] are the judgments' queries by position.
    """

    queries: pa.Table
    judgments: pa.Table
    lines: npt.NDArray[np.int64]

    @property
    def ids(self) -> list[str]:
        return list(self.queries["query_id"].to_pylist())

    @property
    def documents(self) -> npt.NDArray[np.str_]:
        """Those that are judged [P]."""
        return np.asarray(self.judgments["document_id"].to_pylist(), dtype=np.str_)

    @property
    def scores(self) -> Values:
        return np.asarray(self.judgments["score"].to_numpy(), dtype=np.float64)

    @property
    def qrels(self) -> dict[str, dict[str, float]]:
        """Those of each query: {query_id: {document_id: score}}."""
        ids = self.ids
        qrels: dict[str, dict[str, float]] = {name: {} for name in ids}
        for line, document_id, score in zip(
            self.lines.tolist(),
            self.judgments["document_id"].to_pylist(),
            self.scores.tolist(),
            strict=True,
        ):
            qrels[ids[line]][document_id] = score
        return qrels

    def units(self, lines: npt.NDArray[np.int64], ids: Sequence[str]) -> Units:
        """Return units called `ids`, about the queries at these positions."""
        rows = self.queries.take(pa.array(lines))
        groups = tuple(rows["group_id"].to_pylist())
        languages = tuple(language or UNKNOWN for language in rows["language"].to_pylist())
        tags = tuple(tuple(of_query) for of_query in rows["tags"].to_pylist())
        return Units(tuple(ids), groups, languages, tags)

    def within(self, start: int, stop: int) -> "Questions":
        """Return those from `start` to `stop`, with their judgments in the same order."""
        here = (self.lines >= start) & (self.lines < stop)
        queries = self.queries.slice(start, stop - start)
        return Questions(queries, self.judgments.filter(pa.array(here)), self.lines[here] - start)


def find_questions(dataset: Dataset, config: EvaluationConfig) -> Questions:
    """Find the queries of split and tag that have a positive or a scored pair; log the others."""
    # whatever order the source had
    queries = dataset.queries(config.split, config.tag).sort_by("query_id")
    judgments = dataset.judgments(queries["query_id"])
    counts = pc.or_(pc.greater(judgments["score"], 0), judgments["similarity"].is_valid())
    asked = queries.filter(
        pc.is_in(queries["query_id"], value_set=judgments.filter(counts)["query_id"])
    )
    if asked.num_rows < queries.num_rows:
        logger.info(
            "%d queries without a positive are not measured", queries.num_rows - asked.num_rows
        )
    judgments = judgments.filter(pc.is_in(judgments["query_id"], value_set=asked["query_id"]))
    lines = (
        pc.index_in(judgments["query_id"], value_set=asked["query_id"]).to_numpy().astype(np.int64)
    )
    return Questions(asked, judgments, lines)


def find_measurable(judged: Sequence[Mapping[str, float]]) -> npt.NDArray[np.int64]:
    """Return the positions of judgments that have a positive: for others the ideal DCG is 0."""
    lines = [line for line, grades in enumerate(judged) if max(grades.values(), default=0) > 0]
    return np.asarray(lines, dtype=np.int64)
