"""Find the queries that something is judged for, with their judgments."""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from medembed.data.dataset import Dataset
from medembed.evaluation.config import EvaluationConfig
from medembed.evaluation.metrics import Values
from medembed.evaluation.result import Units
from medembed.language import tr_count
from medembed.schema import UNDETERMINED

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Questions:
    """Queries (`schema.QUERIES`) by id, each with a positive or a scored pair, and judgments.

    `lines` int64 [P] are the judgments' queries by position. `languages` are those of each query
    and its answers, as `name_pair` has them.
    """

    queries: pa.Table
    judgments: pa.Table
    lines: npt.NDArray[np.int64]
    languages: tuple[str, ...]

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
        languages = tuple(self.languages[line] for line in lines.tolist())
        tags = tuple(tuple(of_query) for of_query in rows["tags"].to_pylist())
        return Units(tuple(ids), groups, languages, tags)

    def within(self, start: int, stop: int) -> "Questions":
        """Return those from `start` to `stop`, with their judgments in the same order."""
        here = (self.lines >= start) & (self.lines < stop)
        queries = self.queries.slice(start, stop - start)
        judgments = self.judgments.filter(pa.array(here))
        return Questions(queries, judgments, self.lines[here] - start, self.languages[start:stop])


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
            tr_count(
                "{count} query without a positive is not measured",
                "{count} queries without a positive are not measured",
                queries.num_rows - asked.num_rows,
            )
        )
    judgments = judgments.filter(pc.is_in(judgments["query_id"], value_set=asked["query_id"]))
    lines = (
        pc.index_in(judgments["query_id"], value_set=asked["query_id"]).to_numpy().astype(np.int64)
    )
    return Questions(asked, judgments, lines, _name_pairs(dataset, asked, judgments, lines))


def name_pair(query: str | None, answers: Collection[str]) -> str:
    """Return "fr -> en" for a French query with English answers, "fr -> en + fr" for one with both.

    A query has one name, so that no query counts twice. Where no answer's language is known, it is
    the query's alone.
    """
    known = sorted(set(answers) - {UNDETERMINED})
    asked = query or UNDETERMINED
    return f"{asked} -> {' + '.join(known)}" if known else asked


def _name_pairs(
    dataset: Dataset, queries: pa.Table, judgments: pa.Table, lines: npt.NDArray[np.int64]
) -> tuple[str, ...]:
    """Return the languages of each query and of its positives."""
    is_answer = pc.greater(judgments["score"], 0)
    documents = judgments["document_id"].filter(is_answer).to_pylist()
    languages = dataset.languages_of(documents)
    answers: list[set[str]] = [set() for _ in range(queries.num_rows)]
    for line, name in zip(lines[is_answer.to_numpy()].tolist(), documents, strict=True):
        answers[line].add(languages[name])
    asked = queries["language"].to_pylist()
    return tuple(name_pair(*both) for both in zip(asked, answers, strict=True))


def find_measurable(judged: Sequence[Mapping[str, float]]) -> npt.NDArray[np.int64]:
    """Return the positions of judgments that have a positive: for others the ideal DCG is 0."""
    lines = [line for line, grades in enumerate(judged) if max(grades.values(), default=0) > 0]
    return np.asarray(lines, dtype=np.int64)
