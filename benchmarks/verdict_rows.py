"""What preflight's verdicts are checked with: raw rows made from public files, and training
pairs.
"""

import csv
import gzip
import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from itertools import chain
from pathlib import Path

import pyarrow as pa

from medembed.artifact import NewOutput
from medembed.data.dataset import Dataset, to_table
from medembed.lineage import ExamplesManifest, Origin
from medembed.mining.examples import Examples
from medembed.mining.pairs import Pair
from medembed.schema import EXAMPLES, fingerprint
from medembed.spelling import words_key

Row = dict[str, str]  # query, document

_CODES, _QUESTIONS = 2000, 3000  # rows of each kind in the mixed data set
_DISEASES = 6000
# shorter descriptions are mostly made by a template: "Narcolepsy that occurs in sheep."
_WORDS = 15


def write_rows(name: str, data: Path, output: Path) -> str:
    """Write a data set of MAKERS as JSON lines, unless it is there, and return the path."""
    if not output.exists():
        lines = [json.dumps(row) + "\n" for row in MAKERS[name](data)]
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text("".join(lines))
    return str(output)


def write_pairs(dataset: Dataset, pairs: Sequence[Pair], uri: str) -> Examples:
    """Write training examples without negatives: these need no search, and so no embeddings."""
    corpus = dataset.corpus().select(["document_id", "text"]).to_pylist()
    text = {row["document_id"]: row["text"] for row in corpus}
    rows = []
    for pair in pairs:
        positive = {"positive_id": pair.positive_id, "positive": text[pair.positive_id]}
        rows.append(
            {
                "query_id": pair.query_id,
                "query": pair.query,
                **positive,
                "negative_ids": [],
                "negatives": [],
            }
        )
    manifest = ExamplesManifest(
        origin=Origin(dataset=dataset.as_source), counts={"examples": len(rows)}
    )
    with NewOutput(uri, fingerprint(rows)) as output:
        output.write_parquet("part-00000.parquet", to_table(rows, EXAMPLES))
        return Examples(uri, output.commit(manifest))


def mix(data: Path) -> Iterator[Row]:
    """Pairs of French questions for French and for English labels of ICD-10, and MedQuAD's in
    English.
    """
    english = dict(_read_english(data / "icd_10_v2019.xml"))
    french = {
        row["code"]: row for row in _read_french(data / "cim10.csv.gz") if row["code"] in english
    }
    codes = sorted(french, key=_hash)
    for code in codes[:_CODES]:
        yield {"query": french[code]["long"], "document": english[code]}
    for code in codes[_CODES : 2 * _CODES]:
        yield {"query": french[code]["short"], "document": french[code]["long"]}
    lines = chain.from_iterable(path.open() for path in sorted((data / "medquad").glob("*.jsonl")))
    for line in sorted(lines, key=_hash)[:_QUESTIONS]:
        row = json.loads(line)
        yield {"query": row["question"], "document": row["answer"]}


def describe_diseases(data: Path) -> Iterator[Row]:
    """One name of each of some diseases of MONDO, with its description, in which this name does not
    stand.
    """
    (path,) = data.glob("MONDO-ontology-*.json.zst")
    terms = json.load(pa.input_stream(str(path), compression="zstd"))
    written = 0
    for term_id in sorted(terms, key=_hash):
        term = terms[term_id]
        if term.get("deprecated") or len(term.get("description", "").split()) < _WORDS:
            continue
        words = f" {words_key(term['description'])} "
        names = sorted({term["label"], *term.get("synonyms", [])}, key=_hash)
        query = next((name for name in names if f" {words_key(name)} " not in words), None)
        if query is not None and written < _DISEASES:
            written += 1
            yield {"query": query, "document": term["description"]}


def shuffle_diseases(data: Path) -> Iterator[Row]:
    """The same diseases, each with the description of the next: what a join by a wrong key
    gives.
    """
    rows = list(describe_diseases(data))
    for row, other in zip(rows, [*rows[1:], rows[0]], strict=True):
        yield {"query": row["query"], "document": other["document"]}


MAKERS: dict[str, Callable[[Path], Iterator[Row]]] = {
    "mixed": mix,
    "diseases": describe_diseases,
    "shuffled": shuffle_diseases,
}


def _hash(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def _read_french(path: Path) -> Iterator[Row]:
    yield from csv.DictReader(io.StringIO(gzip.decompress(path.read_bytes()).decode()))


def _read_english(path: Path) -> Iterator[tuple[str, str]]:
    """(code without its dot, label) of categories and subcategories."""
    text = path.read_text(encoding="utf-8-sig")
    for code, label in re.findall(
        r"<name>([A-Z]\d\d(?:\.\d)?)</name>\s*<description>([^<]+)</description>", text
    ):
        yield code.replace(".", ""), label
