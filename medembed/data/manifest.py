"""Describes a data set in its manifest: what was read, kept and left out, what texts are like."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from medembed.data.lengths import SAMPLED, percentiles
from medembed.data.read_pass import PLACES_KEPT
from medembed.data.recipe import Recipe
from medembed.data.resolve import Resolved
from medembed.facts import TextFacts
from medembed.language import to_translate
from medembed.lineage import DatasetManifest, Origin
from medembed.schema import content_hash

Rows = Sequence[dict[str, Any]]  # what a pass returned for each part


def describe_build(
    recipe: Recipe, resolved: Resolved, staged: Rows, written: Rows, fingerprint: str
) -> DatasetManifest:
    """Return the manifest, by what both passes returned and what was resolved between them."""
    bad_rows: list[str] = []
    rows_read = 0
    for of_part in staged:
        bad_rows += of_part["bad"]
        rows_read += 0 if recipe.is_old(of_part["number"]) else int(of_part["rows"])
    rows: dict[str, int] = {}
    for of_part in written:
        rows.update({file["name"]: int(file["rows"]) for file in of_part["files"]})
    mapping = recipe.mapping
    return DatasetManifest(
        origin=Origin(dataset=recipe.grown_from),
        fingerprint=fingerprint,
        source=recipe.source.path,
        format=recipe.format,
        shape=mapping.shape if mapping else recipe.format,
        columns={role: paths for role, paths in mapping.columns if paths} if mapping else {},
        licence=recipe.source.licence,
        validated_by=recipe.source.validated_by,
        rows_read=rows_read,
        counts=_count(recipe, resolved, rows),
        splits=resolved.splits,
        held_out=resolved.held_out.num_rows,
        dropped={rule: count for rule, count in sorted(resolved.dropped.items()) if count},
        bad_rows=tuple(bad_rows[:PLACES_KEPT]),
        rows=rows,
        length_unit=to_translate("words") if recipe.tokenizer is None else to_translate("tokens"),
        length_every=length_every(resolved),
        tokenizer=None if recipe.tokenizer is None else content_hash(recipe.tokenizer)[:16],
        documents=_describe_texts(written, "documents"),
        queries=_describe_texts(written, "queries"),
        chunk_overlap=recipe.source.chunk_overlap,
        config={"source": recipe.source.model_dump(), "splits": recipe.splits.model_dump()},
        taken=recipe.taken,
    )


def length_every(resolved: Resolved) -> int:
    """Return how many texts there are to each whose length is measured."""
    return 1 + max(resolved.documents.num_rows, resolved.queries.num_rows) // SAMPLED


def _count(recipe: Recipe, resolved: Resolved, rows: dict[str, int]) -> dict[str, int]:
    """Return how many documents, queries, judgments and, if documents are cut, chunks are kept."""
    corpus = sum(count for name, count in rows.items() if name.startswith("corpus"))
    queries = sum(count for name, count in rows.items() if name.startswith("queries"))
    counts = {
        to_translate("documents"): corpus,
        to_translate("queries"): queries,
        to_translate("judgments"): resolved.qrels.num_rows,
    }
    if recipe.source.chunk_words is not None:
        counts[to_translate("chunks")] = corpus
        counts["documents"] = int(np.count_nonzero(resolved.documents["keep"].to_numpy()))
    return counts


def _describe_texts(written: Rows, kind: str) -> TextFacts:
    languages: Counter[str] = Counter()
    lengths: list[int] = []
    for of_part in written:
        for entry in of_part[f"{kind}_languages"]:
            languages[entry["language"]] += int(entry["count"])
        lengths += of_part[f"{kind}_lengths"]
    return TextFacts(dict(languages.most_common()), percentiles(lengths))
