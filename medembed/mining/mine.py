"""Training queries -> examples: (query, positive, hard negatives) as Parquet beside a manifest and
a report.
"""

import json
import logging
import tempfile
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from medembed import storage
from medembed.artifact import NewOutput, find_output, place
from medembed.data.dataset import Dataset
from medembed.encoding.config import EncodingConfig
from medembed.encoding.cross_encoder import CrossEncoder, is_cross_encoder
from medembed.encoding.delta import NO_DELTA, list_files
from medembed.encoding.model_files import fetch_model, model_fingerprint
from medembed.encoding.table import Table, check_encoder
from medembed.errors import DataError
from medembed.lineage import ExamplesManifest, Origin
from medembed.matryoshka import check_trained
from medembed.mining.candidates import Outcome, Surroundings, look_around, make_example
from medembed.mining.config import MiningConfig, check_window
from medembed.mining.examples import REPORT, Examples, open_examples, write_examples
from medembed.mining.nearest import Nearest, Scope, find_nearest
from medembed.mining.pairs import Pair, select_pairs
from medembed.mining.positives import Positive, best_rows, judged_negatives, known_positives
from medembed.mining.previous_search import recall, remember, what_was_searched
from medembed.mining.queries import query_vectors
from medembed.mining.report import FIGURE, Tally, advise, draw_report, summarize
from medembed.mining.rules import take_window
from medembed.mining.second_opinion import score_again
from medembed.mining.texts import CorpusRows, gather_rows
from medembed.privacy import without_passwords
from medembed.records import Records
from medembed.schema import fingerprint
from medembed.search.float64_scores import Vectors

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Material:
    """What mining reads: a data set, its embedding table, the model that made it; and how; for
    which queries.
    """

    dataset: Dataset
    table: Table
    model: str
    config: MiningConfig
    encoding: EncodingConfig
    records: Records
    only: Collection[str] | None = None

    @property
    def dimensions(self) -> int:
        return self.config.dimensions or self.table.info.width


def mine(
    dataset: Dataset,
    table: Table,
    model: str,
    output: str,
    config: MiningConfig,
    encoding: EncodingConfig,
    *,
    only: Collection[str] | None = None,
) -> Examples:
    """Examples of the data set's training pairs with negatives from `table`; found again if nothing
    changed.

    `only` names the queries to mine for; None: all that train. Ranks and window count documents; of
    one in chunks the query's best chunk stands in the example. A pair for which the rules leave too
    few is kept with those that there are, and counted: often the model ranks its positive badly,
    and it is what training needs most. Beside the examples lie mining.json and mining.png. What a
    run finishes lies in `<output>.run-<key>` until the end, where the same call finds it after any
    death. Raises DataError if there is no training pair, or the table is another data set's, or
    `config.previous` another search's; StorageError if the table is another model's or has vectors
    that are no numbers, ModelError for dimensions that the model does not have, ConfigError for a
    window above the corpus.
    """
    searched = what_was_searched(table, config.dimensions or table.info.width)
    files = list_files(table)
    # A table that lacks documents which crash the encoder bears no data set's name; its files tell
    # which it has.
    bytes_of = fingerprint(files) if not table.info.dataset else ""
    key = fingerprint(
        [
            dataset.fingerprint,
            asdict(searched),
            bytes_of,
            _determining(config),
            only and sorted(only),
        ]
    )
    output = storage.absolute(place(output, key))
    records = Records.of_output(output, key)
    material = Material(dataset, table, model, config, encoding, records, only)
    _check(material)
    manifest = find_output(output, ExamplesManifest, key)
    if manifest is not None:
        logger.info("examples %s: unchanged, reused", key)
        records.clear()
        return Examples(output, manifest)
    with (
        tempfile.TemporaryDirectory(prefix="medembed-mine-") as scratch,
        NewOutput(output, key) as target,
    ):
        report = _write(material, Path(scratch), target)
        _log(report)
        described = ExamplesManifest(
            origin=Origin(dataset=dataset.as_source, table=table.as_source),
            counts=_counts(report, config),
            searched=searched,
            table_files=files,
            negatives=config.negatives,
            is_lists=config.format == "lists",
            config=json.loads(without_passwords(config.model_dump_json())),
        )
        manifest = target.commit(described)
    records.clear()
    return Examples(output, manifest)


def _check(material: Material) -> None:
    """Raises StorageError, DataError or ModelError if these do not belong together."""
    dataset, table = material.dataset, material.table
    check_encoder(table, model_fingerprint(fetch_model(material.model)))
    if table.info.dataset not in ("", dataset.fingerprint):
        raise DataError(
            f"{table.uri}: made from data set {table.info.dataset}, but {dataset.uri} is "
            f"{dataset.fingerprint}; encode this data set into the table."
        )
    check_trained([material.dimensions], table.info.dimensions, table.info.width)
    check_window(material.config, table.uri, table.rows)
    second = material.config.second_opinion
    if second is not None and is_cross_encoder(fetch_model(second)):
        on_cpu = material.encoding.model_copy(update={"gpus_per_worker": 0})
        CrossEncoder.load(second, on_cpu)  # on workers too late


def _determining(config: MiningConfig) -> dict[str, Any]:
    """The config, with what the second opinion computes in place of where it lies, and without what
    only saves time.
    """
    second = config.second_opinion
    values = config.model_dump(exclude={"previous"})
    return values | {"second_opinion": second and model_fingerprint(fetch_model(second))}


def _write(material: Material, scratch: Path, target: NewOutput) -> dict[str, Any]:
    """Mines and writes examples, report, figure and what the next run may remember; returns the
    report.
    """
    dataset, config = material.dataset, material.config
    pairs, asked = (
        select_pairs(dataset, config, material.only),
        dataset.queries("train")["query_id"].to_pylist(),
    )
    asked = asked if material.only is None else [name for name in asked if name in material.only]
    if not pairs:
        raise DataError(
            f"{dataset.uri}: no training pair, as none of {len(asked)} training queries has a "
            "positive; add pairs, or lower splits.dev and splits.test."
        )
    queries = {pair.query_id: pair.query for pair in pairs}
    known = known_positives(dataset.qrels(), dataset.held_out())
    vectors, nearest = _look(queries, known, material, scratch)
    remember(queries, vectors, nearest, target)
    tally, examples = Tally(config), []
    rows, outcomes = _mine_pairs(pairs, vectors, nearest, known, material, scratch)
    for outcome in outcomes:
        tally.add(outcome)
        examples.append(outcome.example)
    write_examples(examples, rows, config.format, target)
    qrels = dataset.qrels()
    unanswered = sum(
        all(grade <= 0 for grade in qrels.get(query_id, {}).values()) for query_id in asked
    )
    report = tally.report(unanswered, len(pairs) - len(examples))
    target.write_bytes(REPORT, json.dumps(report, indent=2, ensure_ascii=False).encode())
    target.write_bytes(FIGURE, draw_report(report))
    return report


def _look(
    queries: Mapping[str, str],
    known: Mapping[str, Collection[str]],
    material: Material,
    scratch: Path,
) -> tuple[Vectors, list[Nearest]]:
    """(vectors [Q, width], nearest documents) of the queries {id: text}, in their order."""
    config, table, encoding = material.config, material.table, material.encoding
    memory = None
    if config.previous is not None:
        memory = recall(open_examples(config.previous), table, material.dimensions, scratch)
    names, texts = list(queries), list(queries.values())
    vectors = query_vectors(
        names, texts, table.info.width, material.model, encoding, memory, material.records, scratch
    )
    scope = Scope(table, material.dimensions, encoding, material.records, scratch)
    needs = [config.window + len(known[name]) for name in names]
    lists = memory.known(names, texts) if memory else {}
    return vectors, find_nearest(
        vectors, needs, config.window, scope, lists, memory.delta if memory else NO_DELTA
    )


def _mine_pairs(
    pairs: Sequence[Pair],
    vectors: Vectors,
    nearest: Sequence[Nearest],
    known: Mapping[str, Collection[str]],
    material: Material,
    scratch: Path,
) -> tuple[CorpusRows, Iterator[Outcome]]:
    """(the corpus rows that were looked at, the outcome of each pair in order)."""
    dataset, config = material.dataset, material.config
    line = {
        query_id: number
        for number, query_id in enumerate(dict.fromkeys(pair.query_id for pair in pairs))
    }
    judged = judged_negatives(dataset.qrels(), known, line) if config.judged else []
    windows = {
        query_id: take_window(
            near.documents, near.rows, near.scores, known[query_id], config.window
        )
        for query_id, near in zip(line, nearest, strict=True)
    }
    named = {name for query_id in line for name in known[query_id]} | {name for _, name in judged}
    found_by = {row_id for window in windows.values() for row_id in window.rows}
    rows = gather_rows(_corpus_files(dataset), found_by, named, scratch)
    asked = [(pair.query_id, pair.positive_id) for pair in pairs] + judged
    best = best_rows(
        vectors,
        [line[name] for name, _ in asked],
        [name for _, name in asked],
        rows,
        material.table,
        material.dimensions,
    )
    of_pairs, of_judged = best[: len(pairs)], _by_query(judged, best[len(pairs) :])
    answered = [
        (pair, Positive(*found)) for pair, found in zip(pairs, of_pairs, strict=True) if found
    ]
    if not answered:
        raise DataError(
            f"{material.table.uri}: has the positive of none of {len(pairs)} pairs; encode the "
            "data set."
        )
    around = {}
    for query_id, window in windows.items():
        answers = rows.present(rows.rows_of(sorted(known[query_id])))
        around[query_id] = look_around(window, answers, of_judged[query_id], rows)
    second = _ask(answered, around, rows, material, scratch)
    outcomes = (
        make_example(pair, positive, around[pair.query_id], second.get(pair.query_id), config)
        for pair, positive in answered
    )
    return rows, outcomes


def _corpus_files(dataset: Dataset) -> list[str]:
    return [
        storage.join(dataset.uri, name)
        for name in dataset.manifest.files
        if name.startswith("corpus/")
    ]


def _by_query(
    judged: Sequence[tuple[str, str]], best: Sequence[tuple[str, float] | None]
) -> Mapping[str, list[tuple[str, float]]]:
    """The (row, score) of each judged negative at its query; none at the others."""
    found: dict[str, list[tuple[str, float]]] = defaultdict(list)
    for (query_id, _), row in zip(judged, best, strict=True):
        if row is not None:
            found[query_id].append(row)
    return found


def _ask(
    answered: Sequence[tuple[Pair, Positive]],
    around: Mapping[str, Surroundings],
    rows: CorpusRows,
    material: Material,
    scratch: Path,
) -> dict[str, dict[str, float]]:
    """{query id: {row: score by the second opinion}}; empty if none is wanted."""
    config = material.config
    if config.second_opinion is None:
        return {}
    wanted = {query_id: dict.fromkeys(found.to_score(config)) for query_id, found in around.items()}
    for pair, positive in answered:
        wanted[pair.query_id][positive.row_id] = None
    asked = {pair.query_id: list(wanted[pair.query_id]) for pair, _ in answered}
    queries = {pair.query_id: pair.query for pair, _ in answered}
    scores = score_again(
        asked, queries, rows, config.second_opinion, material.encoding, material.records, scratch
    )
    return {
        query_id: dict(zip(asked[query_id], found.tolist(), strict=True))
        for query_id, found in scores.items()
    }


def _log(report: dict[str, Any]) -> None:
    logger.info("%s", summarize(report))
    advice = advise(report)
    if advice:
        logger.warning("%s", advice)


def _counts(report: Mapping[str, Any], config: MiningConfig) -> dict[str, int]:
    """What the manifest and the terminal show; an example is a row of the files."""
    counts = report["counts"]
    return {
        "pairs": counts["pairs"],
        "candidates above the margin": report["dropped"]["above the margin"],
        "pairs with fewer negatives than asked": counts["pairs with fewer negatives than asked"],
        "examples": counts["pairs"] if config.format == "lists" else counts["negatives"],
    }
