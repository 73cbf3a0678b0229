"""Choose the queries that measure the base model: a sample, and enough of each slice. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from operator import itemgetter
from typing import Any, NamedTuple

from medembed.evaluation.result import FEW_UNITS, OTHERS
from medembed.language import to_translate, tr
from medembed.preflight.config import PreflightConfig
from medembed.schema import WEAK, content_hash

# Groups. With fewer, a 95% interval can reach more than 0.17 to each side and says too little.
SMALLEST_SLICE = 30
_KINDS = {"language": to_translate("language {name}"), "tag": to_translate("tag {name}")}


@dataclass(frozen=True)
class Slice:
    """Queries of one language, pair of languages or tag, by their lines in the sample.

    Where there is a `document_language`, positives in other languages do not count.
    """

    name: str
    lines: tuple[int, ...]
    document_language: str | None = None


def show_slice(name: str) -> str:
    """Write a slice's name in the user's language: "language fr" is "langue fr" in French."""
    kind, _, value = name.partition(" ")
    return tr(_KINDS[kind], name=value) if kind in _KINDS else tr(name)


@dataclass(frozen=True)
class QuerySample:
    """Sampled queries, each with the grades of its positives.

    The first `core` are a fair sample of all; the others were added for slices too small in it.
    """

    ids: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    positives: tuple[dict[str, float], ...] = ()
    languages: Mapping[str, str] = field(default_factory=dict)  # of the positives' documents
    core: int = 0
    slices: tuple[Slice, ...] = ()
    few: dict[str, int] = field(default_factory=dict)  # slices of too few groups: their queries
    are_weak: bool = False  # all there are were made from the structure of documents


class MeasurableQuery(NamedTuple):
    """A row of the queries with the grades of its positives."""

    row: dict[str, Any]
    positives: dict[str, float]


def find_positives(
    rows: Iterable[Mapping[str, Any]], qrels: Mapping[str, dict[str, float]]
) -> set[str]:
    """Return the documents that answer one of the queries."""
    names: set[str] = set()
    for row in rows:
        names |= _positives(qrels.get(row["query_id"], {})).keys()
    return names


def choose_queries(
    rows: Iterable[dict[str, Any]],
    qrels: Mapping[str, dict[str, float]],
    languages: Mapping[str, str],
    config: PreflightConfig,
) -> QuerySample:
    """Choose at most `sample_queries` of the rows that have a positive, then fill up small slices.

    A slice that has under SMALLEST_SLICE groups among them gets more. Weak queries are taken only
    where there are no others. A hash decides the order. `languages` {document_id: language} has the
    positives of all rows. It stops early where their positives would fill more than half of the
    sampled documents: the rest must stay a fair draw of what they are to be told from.
    """
    measurable: list[MeasurableQuery] = []
    for row in rows:
        positives = _positives(qrels.get(row["query_id"], {}))
        if positives:
            measurable.append(MeasurableQuery(row, positives))
    strong = [entry for entry in measurable if WEAK not in entry.row["tags"]]
    asked = sorted(strong or measurable, key=lambda entry: content_hash(entry.row["query_id"]))
    sample = _ChosenQueries(asked, config.sample_documents // 2)
    sample.add(range(min(len(asked), config.sample_queries)))
    core = len(sample.lines)
    slices: list[Slice] = []
    few: dict[str, int] = {}
    for wanted in name_slices(asked, languages):
        lines = _fill(wanted, sample, core)
        if _count_groups(asked, lines) >= SMALLEST_SLICE:
            chosen_lines = tuple(map(sample.lines.__getitem__, lines))
            slices.append(Slice(wanted.name, chosen_lines, wanted.document_language))
        else:
            name = wanted.name if len(wanted.lines) >= FEW_UNITS else OTHERS
            few[name] = few.get(name, 0) + len(wanted.lines)
    chosen = [asked[line] for line in sample.lines]
    chosen_rows = [entry.row for entry in chosen]
    return QuerySample(
        ids=tuple(map(itemgetter("query_id"), chosen_rows)),
        texts=tuple(map(itemgetter("text"), chosen_rows)),
        groups=tuple(map(itemgetter("group_id"), chosen_rows)),
        positives=tuple(entry.positives for entry in chosen),
        languages=languages,
        core=core,
        slices=tuple(slices),
        few=few,
        are_weak=bool(chosen) and not strong,
    )


def name_slices(asked: Sequence[MeasurableQuery], languages: Mapping[str, str]) -> list[Slice]:
    """Name the slices of these queries, largest first.

    None holds the same queries as another, or all. A language whose queries have positives in one
    language alone is that pair of languages.
    """
    answers = [set(map(languages.__getitem__, positives)) for _, positives in asked]
    pairs: dict[tuple[str, str], list[int]] = {}
    others: dict[str, list[int]] = {}
    for line, (row, _) in enumerate(asked):
        for language in sorted(answers[line]):
            pairs.setdefault((row["language"], language), []).append(line)
        others.setdefault(f"language {row['language']}", []).append(line)
        for tag in dict.fromkeys(row["tags"]):
            others.setdefault(f"tag {tag}", []).append(line)
    slices = []
    for (query, document), lines in pairs.items():
        is_mixed = any(len(answers[line]) > 1 for line in lines)
        slices.append(Slice(f"{query} -> {document}", tuple(lines), document if is_mixed else None))
    slices += [Slice(name, tuple(lines)) for name, lines in others.items()]
    distinct: dict[tuple[tuple[int, ...], str | None], Slice] = {}
    for entry in slices:
        if len(entry.lines) < len(asked) or entry.document_language:
            distinct.setdefault((entry.lines, entry.document_language), entry)
    return sorted(distinct.values(), key=lambda entry: (-len(entry.lines), entry.name))


def _positives(grades: Mapping[str, float]) -> dict[str, float]:
    return {name: grade for name, grade in grades.items() if grade > 0}


class _ChosenQueries:
    """The queries taken so far: `lines` {line among all: line in the sample}."""

    def __init__(self, asked: Sequence[MeasurableQuery], room: int) -> None:
        self.asked = asked
        self.room = room
        self.lines: dict[int, int] = {}
        self.needed: set[str] = set()

    def add(self, lines: Iterable[int]) -> None:
        """Take these in turn until one's positives find no room; the very first always fits."""
        for line in lines:
            more = self.asked[line].positives.keys() - self.needed
            if self.lines and len(self.needed) + len(more) > self.room:
                return
            self.needed |= more
            self.lines.setdefault(line, len(self.lines))


def _fill(wanted: Slice, sample: _ChosenQueries, core: int) -> list[int]:
    """Take the slice's first queries in the order of the hash: as many as the core has, or more.

    Only these are a fair sample of the slice: what other slices added is not.
    """
    size = sum(line < core for line in wanted.lines)
    while (
        size < len(wanted.lines)
        and _count_groups(sample.asked, wanted.lines[:size]) < SMALLEST_SLICE
    ):
        size += 1
    sample.add(wanted.lines[:size])
    return list(takewhile(sample.lines.__contains__, wanted.lines[:size]))


def _count_groups(asked: Sequence[MeasurableQuery], lines: Iterable[int]) -> int:
    return len({asked[line].row["group_id"] for line in lines})
