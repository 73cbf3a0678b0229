"""What a data set that grew has new for training, against the one before. Pure but for reading
both.
"""

from medembed.data.dataset import Dataset
from medembed.schema import content_hash, document_of


def find_new(previous: Dataset | None, dataset: Dataset) -> set[str]:
    """Training queries that are new or edited, or that have a new positive, or one whose text is
    new.
    """
    asked = {
        row["query_id"]: content_hash(row["text"]) for row in dataset.queries("train").to_pylist()
    }
    if previous is None:
        return set(asked)
    known = {row["query_id"]: content_hash(row["text"]) for row in previous.queries().to_pylist()}
    before, after = _texts(previous), _texts(dataset)
    judged = previous.qrels()
    found = {query_id for query_id, text in asked.items() if known.get(query_id) != text}
    for query_id, grades in dataset.qrels().items():
        if query_id in asked and query_id not in found:
            old = judged.get(query_id, {})
            if any(
                grade > 0 and (old.get(name, 0) <= 0 or before.get(name) != after.get(name))
                for name, grade in grades.items()
            ):
                found.add(query_id)
    return found


def _texts(dataset: Dataset) -> dict[str, tuple[str, ...]]:
    """{document: content hashes of its rows}."""
    found: dict[str, tuple[str, ...]] = {}
    for row in dataset.keys().to_pylist():
        name = document_of(row["document_id"])
        found[name] = (*found.get(name, ()), row["content_hash"])
    return {name: tuple(sorted(hashes)) for name, hashes in found.items()}
