"""Make corpus rows from texts in memory, and apply the rules in a slow and obvious way."""

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa

from medembed import storage
from medembed.mining.config import MiningConfig
from medembed.mining.texts import CorpusRows, gather_rows
from medembed.schema import CORPUS, content_hash, document_of
from medembed.spelling import words_key


def corpus_rows(texts: Mapping[str, str], scratch: Path) -> CorpusRows:
    """Return the rows of {row id: text}, all of them wanted, by way of two Parquet files."""
    names, files = list(texts), []
    for number, part in enumerate((names[::2], names[1::2])):
        rows = [
            {"document_id": name, "text": texts[name], "content_hash": content_hash(texts[name])}
            for name in part
        ]
        files.append(str(scratch / f"{number}.parquet"))
        storage.write_parquet(files[-1], pa.Table.from_pylist(rows, schema=CORPUS))
    return gather_rows(files, names, [], scratch)


def slow_negatives(
    ranked: list[tuple[str, float]],
    texts: Mapping[str, str],
    positives: set[str],
    judged: Mapping[str, float],
    positive_score: float,
    config: MiningConfig,
) -> list[tuple[str, int | None, bool]]:
    """Return the row, rank and `is judged` of each negative for `choice=hardest`.

    It checks every rule one after the other, as a person would.
    """
    answers = [text for name, text in texts.items() if document_of(name) in positives]

    def copies(name: str) -> bool:
        return any(words_key(texts[name]) == words_key(answer) for answer in answers)

    rank = {
        name: place
        for place, (name, _) in enumerate([row for row in ranked if row[0] not in positives])
    }
    window = {name: place for name, place in rank.items() if place < config.window}
    negatives: list[tuple[str, int | None, bool]] = []
    if config.judged:
        by_score = sorted(judged, key=lambda name: (-judged[name], name))
        for name in by_score:
            said = {words_key(texts[other]) for other, _, _ in negatives}
            if name not in positives and not copies(name) and words_key(texts[name]) not in said:
                negatives.append((name, window.get(name), True))
    seen = {words_key(texts[name]) for name, _, _ in negatives}
    for name, score in ranked:
        if name not in window:
            continue
        words = words_key(texts[name])
        is_repeat = words in seen
        seen.add(words)
        if (
            is_repeat
            or copies(name)
            or window[name] < config.first_rank
            or (config.judged and name in judged)
        ):
            continue
        if is_in_bounds(score, positive_score, config):
            negatives.append((name, window[name], False))
    return negatives[: config.negatives]


def is_in_bounds(score: float, positive_score: float, config: MiningConfig) -> bool:
    """Return whether a score is within the margins and limits of the config."""
    if config.margin is not None and score > positive_score - config.margin * abs(positive_score):
        return False
    if config.margin_absolute is not None and score > positive_score - config.margin_absolute:
        return False
    if config.max_score is not None and score > config.max_score:
        return False
    return config.min_score is None or score >= config.min_score
