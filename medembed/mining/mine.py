"""Mine a data set's training pairs: write examples of a query, a positive and hard negatives."""

import json
import logging
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from medembed import storage
from medembed.artifact import NewOutput, find_output, place
from medembed.data.dataset import Dataset
from medembed.encoding.config import EncodingConfig
from medembed.encoding.delta import list_files
from medembed.encoding.table import Table
from medembed.errors import DataError
from medembed.language import to_translate, tr
from medembed.lineage import ExamplesManifest, Origin
from medembed.mining.config import MiningConfig
from medembed.mining.decide import decide_pairs
from medembed.mining.examples import COUNTS, Examples, write_examples
from medembed.mining.inputs import MiningInputs, check_inputs, result_settings
from medembed.mining.judgments import known_positives
from medembed.mining.pairs import select_pairs
from medembed.mining.previous_search import describe_search, write_search
from medembed.mining.queries import search_queries
from medembed.mining.tally import FEWER, Tally, advise, summarize
from medembed.privacy import without_passwords
from medembed.records import Records
from medembed.schema import fingerprint

logger = logging.getLogger(__name__)


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
    """Mine negatives from `table` for the data set's training pairs, or find the same ones again.

    `only` names the queries to mine for; None: all that train. Ranks and window count documents; of
    one in chunks the query's best chunk stands in the example. A pair for which the rules leave too
    few is kept with those that there are, and counted: often the model ranks its positive badly,
    and it is what training needs most. Beside the examples lies mining.json. What a run finishes
    lies in `<output>.run-<key>` until the end, where the same call finds it after any death. Raises
    DataError if there is no training pair, or the table is another data set's, or `config.previous`
    another search's; StorageError if the table is another model's or has vectors that are no
    numbers, ModelError for dimensions that the model does not have, ConfigError for a window above
    the corpus.
    """
    key = _key(dataset, table, config, only)
    output = storage.absolute(place(output, key))
    records = Records.of_output(output, key)
    inputs = MiningInputs(dataset, table, model, config, encoding, records, only)
    check_inputs(inputs)
    manifest = find_output(output, ExamplesManifest, key)
    if manifest is not None:
        logger.info(tr("examples {key}: unchanged, reused", key=key))
    else:
        manifest = _mine(inputs, output, key)
    records.clear()
    return Examples(output, manifest)


def _key(dataset: Dataset, table: Table, config: MiningConfig, only: Collection[str] | None) -> str:
    """Return the fingerprint of all that decides the examples."""
    searched = describe_search(table, config.dimensions or table.info.width)
    # A table that lacks documents which crash the encoder bears no data set's name; its files tell
    # which it has.
    files = "" if table.info.dataset else fingerprint(list_files(table))
    return fingerprint(
        [
            dataset.fingerprint,
            asdict(searched),
            files,
            result_settings(config),
            only and sorted(only),
        ]
    )


def _mine(inputs: MiningInputs, output: str, key: str) -> ExamplesManifest:
    """Write the examples with all that belongs to them."""
    config = inputs.config
    with (
        tempfile.TemporaryDirectory(prefix="medembed-mine-") as scratch,
        NewOutput(output, key) as target,
    ):
        counted = _write_files(inputs, Path(scratch), target)
        config = config.model_copy(update={"margin_from": counted["margin_from"]})
        logger.info("%s", summarize(counted))
        advice = advise(counted)
        if advice:
            logger.warning("%s", advice)
        return target.commit(
            ExamplesManifest(
                origin=Origin(dataset=inputs.dataset.as_source, table=inputs.table.as_source),
                counts=_manifest_counts(counted, config),
                searched=describe_search(inputs.table, inputs.dimensions),
                table_files=list_files(inputs.table),
                negatives=config.negatives,
                is_lists=config.format == "lists",
                config=json.loads(without_passwords(config.model_dump_json())),
            )
        )


def _write_files(inputs: MiningInputs, scratch: Path, target: NewOutput) -> dict[str, Any]:
    """Write examples, mining.json and the search for the next run; return the counts."""
    dataset = inputs.dataset
    config = inputs.config
    asked = dataset.queries("train")["query_id"].to_pylist()
    if inputs.only is not None:
        asked = [query_id for query_id in asked if query_id in inputs.only]
    pairs = select_pairs(dataset, config, inputs.only)
    if not pairs:
        raise DataError(
            "{uri}: no training pair; its {count} training queries have no positive: "
            "add pairs, or lower splits.dev and splits.test.",
            uri=dataset.uri,
            count=len(asked),
        )

    qrels = dataset.qrels()
    known = known_positives(qrels, dataset.held_out())
    queries = {pair.query_id: pair.query for pair in pairs}
    search = search_queries(queries, known, inputs, scratch)
    write_search(queries, search, target)

    decided = decide_pairs(pairs, queries, search, known, inputs, scratch)
    tally = Tally(decided.config)
    examples = []
    for outcome in decided.outcomes:
        tally.add(outcome)
        examples.append(outcome.example)
    write_examples(examples, decided.rows, config.format, target)

    unanswered = 0
    for query_id in asked:
        unanswered += max(qrels.get(query_id, {}).values(), default=0) <= 0
    counted = tally.to_json(unanswered, absent=len(pairs) - len(examples))
    target.write_bytes(COUNTS, json.dumps(counted, indent=2, ensure_ascii=False).encode())
    return counted


def _manifest_counts(counted: Mapping[str, Any], config: MiningConfig) -> dict[str, int]:
    """Return what the manifest and the terminal show; an example is a row of the files."""
    counts = counted["counts"]
    rows = counts["pairs"] if config.format == "lists" else counts["negatives"]
    return {
        to_translate("pairs"): counts["pairs"],
        to_translate("candidates above the margin"): counted["dropped"]["above the margin"],
        FEWER: counts[FEWER],
        to_translate("examples"): rows,
    }
