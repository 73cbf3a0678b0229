"""Decide which of its query's nearest documents become the negatives of each pair."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from medembed.errors import DataError
from medembed.mining.candidates import Candidates, Outcome, gather_candidates, make_example
from medembed.mining.chance import pair_by_chance, settle_margin
from medembed.mining.config import MiningConfig
from medembed.mining.inputs import MiningInputs
from medembed.mining.judgments import (
    JudgedDocument,
    Positive,
    ScoredRow,
    judged_negatives,
    nearest_rows,
)
from medembed.mining.pairs import Pair
from medembed.mining.previous_search import QuerySearch
from medembed.mining.rules import Window, take_window
from medembed.mining.second_opinion import SecondOpinion, score_again
from medembed.mining.texts import CorpusRows, gather_rows, number_names


class Decided(NamedTuple):
    """The outcome of each pair in order, the corpus rows looked at, and the settled config."""

    outcomes: Iterator[Outcome]
    rows: CorpusRows
    config: MiningConfig


class Answered(NamedTuple):
    """A pair with the row of its positive."""

    pair: Pair
    positive: Positive


def decide_pairs(
    pairs: Sequence[Pair],
    queries: Mapping[str, str],
    search: QuerySearch,
    known: Mapping[str, Collection[str]],
    inputs: MiningInputs,
    scratch: Path,
) -> Decided:
    """Decide for each pair; a pair whose positive the table lacks has no outcome.

    `queries` {query id: text} are those of the pairs, `known` {query id: its known positives}.
    Raises DataError if the table lacks all positives.
    """
    config = inputs.config
    judged = judged_negatives(inputs.dataset.qrels(), known, queries) if config.judged else []
    windows = {}
    for query_id, near in zip(queries, search.nearest, strict=True):
        windows[query_id] = take_window(
            near.documents, near.rows, near.scores, known[query_id], config.window
        )
    rows = _read_rows(windows, known, judged, inputs, scratch)

    random = pair_by_chance(pairs, known)
    asked = [JudgedDocument(pair.query_id, pair.positive_id) for pair in pairs] + judged + random
    line_of = number_names(queries)
    best = nearest_rows(search.vectors, line_of, asked, rows, inputs.table, inputs.dimensions)
    answered = _find_answered(pairs, best[: len(pairs)], inputs.table.uri)
    negatives = _by_query(judged, best[len(pairs) : len(pairs) + len(judged)])
    drawn = _by_query(random, best[len(pairs) + len(judged) :])

    candidates = {}
    for query_id, window in windows.items():
        positives = rows.present(rows.rows_of(sorted(known[query_id])))
        of_query = negatives.get(query_id, [])
        candidates[query_id] = gather_candidates(window, positives, of_query, rows)
    second = _ask_second_opinion(answered, queries, candidates, drawn, rows, inputs, scratch)
    config = settle_margin(inputs.config, _judge_random(drawn, second, inputs.config))
    return Decided(_make_examples(answered, candidates, second, config), rows, config)


def _read_rows(
    windows: Mapping[str, Window],
    known: Mapping[str, Collection[str]],
    judged: Sequence[JudgedDocument],
    inputs: MiningInputs,
    scratch: Path,
) -> CorpusRows:
    """Read the rows of all windows, known positives and judged negatives."""
    row_ids: set[str] = set()
    documents: set[str] = set()
    for negative in judged:
        documents.add(negative.document_id)
    for query_id, window in windows.items():
        row_ids.update(window.rows)
        documents.update(known[query_id])
    files = [uri for uri, _ in inputs.dataset.corpus_files()]
    return gather_rows(files, row_ids, documents, scratch)


def _find_answered(
    pairs: Sequence[Pair], best: Sequence[ScoredRow | None], table: str
) -> list[Answered]:
    """Return the pairs whose positive the table has. Raises DataError if there are none."""
    answered = []
    for pair, row in zip(pairs, best, strict=True):
        if row is not None:
            answered.append(Answered(pair, Positive(row.row_id, row.score)))
    if not answered:
        raise DataError(
            "{table}: lacks the positives of all {count} pairs; encode the data set.",
            table=table,
            count=len(pairs),
        )
    return answered


def _make_examples(
    answered: Sequence[Answered],
    candidates: Mapping[str, Candidates],
    second: Mapping[str, Mapping[str, float]],
    config: MiningConfig,
) -> Iterator[Outcome]:
    for pair, positive in answered:
        name = pair.query_id
        yield make_example(pair, positive, candidates[name], second.get(name), config)


def _by_query(
    judged: Sequence[JudgedDocument], best: Sequence[ScoredRow | None]
) -> dict[str, list[ScoredRow]]:
    """Return {query id: rows of these documents}, without queries that have none."""
    rows: dict[str, list[ScoredRow]] = {}
    for negative, row in zip(judged, best, strict=True):
        if row is not None:
            rows.setdefault(negative.query_id, []).append(row)
    return rows


def _judge_random(
    random: Mapping[str, Sequence[ScoredRow]],
    second: Mapping[str, Mapping[str, float]],
    config: MiningConfig,
) -> list[float]:
    """Return the scores of random pairs by the model whose scores the margins look at."""
    scores = []
    for query_id, drawn in random.items():
        for row in drawn:
            if not config.second_judges:
                scores.append(row.score)
            elif query_id in second:
                scores.append(second[query_id][row.row_id])
    return scores


def _ask_second_opinion(
    answered: Sequence[Answered],
    queries: Mapping[str, str],
    candidates: Mapping[str, Candidates],
    random: Mapping[str, Sequence[ScoredRow]],
    rows: CorpusRows,
    inputs: MiningInputs,
    scratch: Path,
) -> dict[str, dict[str, float]]:
    """Return {query id: {row: score by the second opinion}}; empty if none is wanted."""
    config = inputs.config
    if config.second_opinion is None:
        return {}
    asked: dict[str, list[str]] = {}
    for pair, positive in answered:
        if pair.query_id not in asked:
            to_score = candidates[pair.query_id].to_score(config)
            by_chance = [row.row_id for row in random.get(pair.query_id, ())]
            asked[pair.query_id] = list(dict.fromkeys([*to_score, *by_chance]))
        if positive.row_id not in asked[pair.query_id]:
            asked[pair.query_id].append(positive.row_id)
    opinion = SecondOpinion(config.second_opinion, inputs.encoding, inputs.records)
    second = {}
    for query_id, scores in score_again(asked, queries, rows, opinion, scratch).items():
        second[query_id] = dict(zip(asked[query_id], scores.tolist(), strict=True))
    return second
