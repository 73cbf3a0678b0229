"""Find the training queries that a data set has and the one before had not."""

from medembed.data.dataset import Dataset
from medembed.schema import content_hash, document_of


def find_new(previous: Dataset | None, dataset: Dataset) -> set[str]:
    """Return the training queries that are new or edited, or that have a new or edited positive."""
    asked = _queries(dataset, "train")
    if previous is None:
        return set(asked)
    known = _queries(previous)
    new = {query_id for query_id, text in asked.items() if known.get(query_id) != text}

    before = _texts(previous)
    after = _texts(dataset)
    judged = previous.qrels()
    for query_id, grades in dataset.qrels().items():
        if query_id not in asked:
            continue
        old_grades = judged.get(query_id, {})
        for name, grade in grades.items():
            is_same = old_grades.get(name, 0) > 0 and before.get(name) == after.get(name)
            if grade > 0 and not is_same:
                new.add(query_id)
    return new


def _queries(dataset: Dataset, split: str | None = None) -> dict[str, str]:
    """Return {query: content hash}."""
    rows = dataset.queries(split).to_pylist()
    return {row["query_id"]: content_hash(row["text"]) for row in rows}


def _texts(dataset: Dataset) -> dict[str, list[str]]:
    """Return {document: content hashes of its rows, sorted}."""
    hashes: dict[str, list[str]] = {}
    for row in dataset.keys().to_pylist():
        hashes.setdefault(document_of(row["document_id"]), []).append(row["content_hash"])
    return {name: sorted(of_document) for name, of_document in hashes.items()}
