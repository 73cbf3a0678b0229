"""Cut examples that were mined once down to fewer negatives or a wider margin, as if mined so."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import compress
from typing import Any

import pyarrow as pa

from medembed.artifact import NewOutput, find_output, place
from medembed.errors import DataError
from medembed.lineage import ExamplesManifest
from medembed.mining.config import MiningConfig
from medembed.mining.examples import LISTS, Examples
from medembed.mining.rules import highest_score
from medembed.mining.tally import FEWER
from medembed.schema import EXAMPLES, fingerprint

MOST = 64  # negatives that a pool may hold for each pair


def pool_of(config: MiningConfig, margins: list[float | None]) -> MiningConfig:
    """Return what to mine so that `cut_examples` can cut for any of these margins.

    Exact up to a window of 64 ranks. Raises DataError for choices that do not begin at the nearest.
    """
    if config.choice != "hardest" or config.format != "lists":
        raise DataError(
            "mining: found choice={choice}, format={format}; negatives and margin are cut "
            "from one pool, which needs choice=hardest and format=lists.",
            choice=config.choice,
            format=config.format,
        )
    given = [margin for margin in margins if margin is not None]
    narrowest = min(given) if len(given) == len(margins) else None
    return config.model_copy(update={"negatives": min(config.window, MOST), "margin": narrowest})


def cut_examples(pool: Examples, output: str, negatives: int, margin: float | None) -> Examples:
    """Write the examples at `output` (with its {key}) as if mined with these two settings."""
    config = pool.manifest.config | {"negatives": negatives, "margin": margin}
    key = fingerprint([pool.fingerprint, negatives, margin])
    output = place(output, key)
    manifest = find_output(output, ExamplesManifest, key)
    if manifest is not None:
        return Examples(output, manifest)
    rows = list(_cut(pool, MiningConfig.model_validate(config)))
    short = sum(len(row["negatives"]) < negatives for row in rows)
    counts = {
        "pairs": len(rows),
        FEWER: short,
        "examples": len(rows),
    }
    with NewOutput(output, key) as target:
        target.write_parquet("part-00000.parquet", pa.Table.from_pylist(rows, EXAMPLES))
        manifest = replace(
            pool.manifest, config=config, counts=counts, negatives=negatives, pool=pool.fingerprint
        )
        return Examples(output, target.commit(manifest))


def _cut(pool: Examples, config: MiningConfig) -> Iterator[dict[str, Any]]:
    judged_by = "second_" if config.second_judges else ""
    for row in pool.read():
        most = highest_score(row[f"positive_{judged_by}score"], config)
        scores = row[f"negative_{judged_by}scores"]
        is_kept = []
        for is_judged, score in zip(row["negative_judged"], scores, strict=True):
            is_kept.append(is_judged or score <= most)
        for name in LISTS:
            if row[name]:
                row[name] = list(compress(row[name], is_kept))[: config.negatives]
        yield row
