"""Draw the fixed sample of dev queries and documents by which checkpoints are chosen."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from medembed.data.dataset import Dataset
from medembed.errors import DataError
from medembed.evaluation.metrics import Values, parse_metric
from medembed.evaluation.sample import Sample, draw_sample
from medembed.training.config import TrainingConfig
from medembed.training.record.checkpoint import DEV_VALUES, Checkpoint


def draw_dev_sample(dataset: Dataset, config: TrainingConfig, split: str = "dev") -> Sample:
    """Return the sample of the dev split, or one of another split.

    Raises DataError if no such query has a positive, or if `select_by` names no metric.
    """
    try:
        parse_metric(config.select_by)
    except ValueError as error:
        raise DataError(
            "training.select_by: found {select_by!r}, {error}.",
            select_by=config.select_by,
            error=error,
        ) from None
    return draw_sample(
        dataset, split, config.dev_tag, queries=config.dev_queries, documents=config.dev_documents
    )


def write_dev_values(folder: Path, values: Mapping[int, Values]) -> None:
    """Write {dimension: `select_by` of each dev query, in order} beside a model."""
    lists = {dimension: of_queries.tolist() for dimension, of_queries in values.items()}
    (folder / DEV_VALUES).write_text(json.dumps(lists))


def read_dev_values(checkpoint: Checkpoint, dimensions: Sequence[int]) -> Values | None:
    """Return each dev query's mean of `select_by` over these dimensions.

    None if one of them was not measured.
    """
    lists = json.loads(checkpoint.read(DEV_VALUES)[DEV_VALUES])
    names = [str(dimension) for dimension in dimensions]
    if not set(names) <= lists.keys():
        return None
    return np.asarray(np.mean([lists[name] for name in names], axis=0))
