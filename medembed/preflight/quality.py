"""How well the base model finds the sampled queries' documents, in all and per language of the queries. Pure."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medembed.preflight.encode_probe import Encoded
from medembed.preflight.estimate import Estimates, Interval, estimate, interval
from medembed.preflight.sample import Corpus, Queries

_LANGUAGE_QUERIES = 20  # of a language with fewer, the mean says nothing


@dataclass(frozen=True)
class Language:
    """Means over the queries of one language."""

    queries: int
    recall: float
    ndcg: float


@dataclass(frozen=True)
class Quality:
    """Zero-shot recall@10 and NDCG@10 with texts cut at `max_length` tokens, also by language of the queries."""

    max_length: int
    recall: Interval
    ndcg: float
    languages: dict[str, Language]


def measure_quality(encoded: Encoded, queries: Queries, corpus: Corpus) -> Quality:
    """Quality on the whole corpus, estimated where the sample is not all of it; there is at least one query."""
    row_ids = [row_id for row_id, _ in (*corpus.forced, *corpus.drawn)]
    found = estimate(
        encoded.queries, encoded.documents, row_ids, len(corpus.drawn), queries.positives, corpus.unseen
    )  # fmt: skip
    return Quality(
        encoded.max_length,
        interval(found.recall, queries.groups, is_sampled=corpus.unseen > 0),
        float(found.ndcg.mean()),
        _split_languages(found, queries.languages),
    )


def _split_languages(found: Estimates, languages: Sequence[str]) -> dict[str, Language]:
    counts = {name: count for name, count in Counter(languages).most_common() if count >= _LANGUAGE_QUERIES}
    of = np.asarray(languages)
    return {
        name: Language(count, float(found.recall[of == name].mean()), float(found.ndcg[of == name].mean()))
        for name, count in counts.items()
    }
