"""Check before anything is encoded what would fail only after it."""

from collections.abc import Sequence

from medembed.data.dataset import Dataset
from medembed.encoding.model_files import fetch_model, model_width
from medembed.errors import DataError
from medembed.evaluation.config import EvaluationConfig
from medembed.evaluation.evaluate import check_measurable
from medembed.evaluation.must_rank import DocumentId, load_cases
from medembed.matryoshka import check_dimensions
from medembed.privacy import show_id


def check_request(config: EvaluationConfig, models: Sequence[str]) -> None:
    """Check the models and the must-rank cases.

    Raises ModelError for a model that is not there and for a dimension that the first one lacks,
    the errors of `load_cases` for must-rank cases.
    """
    widths = [model_width(fetch_model(model)) for model in models]
    if widths[0] is not None:
        check_dimensions(config.dimensions, widths[0])
    load_cases(config.must_rank)


def check_data(dataset: Dataset, config: EvaluationConfig, *, bm25: bool) -> None:
    """Check that the data has what is to be measured. Raises DataError."""
    has_queries = check_measurable(dataset, config)
    if bm25 and not has_queries:
        raise DataError(
            "{uri}: bm25 ranks documents for queries, and no query has a positive; leave it out.",
            uri=dataset.uri,
        )
    named = set[str]()
    for case in load_cases(config.must_rank):
        named.update(side.id for side in case.sides if isinstance(side, DocumentId))
    if not named:
        return
    missing = named - set(dataset.document_ids().to_pylist())
    if missing:
        raise DataError(
            "{must_rank}: document id {id!r} is not in the corpus; name one that is.",
            must_rank=config.must_rank,
            id=show_id(min(missing)),
        )
