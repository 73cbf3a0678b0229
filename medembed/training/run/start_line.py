"""What is about to run, in lines: examples, steps, rows that change the weights together, negatives
per query. Pure.
"""

from collections.abc import Iterator

from medembed.training.config import TrainingConfig
from medembed.training.loss_config import RANKING
from medembed.training.rows.order import Stream


def describe_start(stream: Stream, steps: int, mined: int, config: TrainingConfig) -> Iterator[str]:
    """Lines for the log; `stream` is that of the most workers, `mined` the number of mined
    negatives of an example.

    A query's negatives, if the loss ranks, are the other documents of its batch on all workers.
    Accumulated batches are not among them.
    """
    added = config.accumulation_steps
    together = stream.rows // added
    rows = f"{stream.rows}" + (f" ({added} batches of {together})" if added > 1 else "")
    workers = (
        f"{config.workers}"
        if isinstance(config.workers, int)
        else "{} to {}".format(*config.workers)
    )
    yield f"train: {stream.count:,} examples, {steps:,} steps of {rows} on {workers} workers"
    ranks = config.loss.name in RANKING
    seen = f"up to {together * (1 + mined) - 1} negatives per query, " if ranks else ""
    yield f"       loss {config.loss.name}, {seen}dimensions {list(config.dimensions)}"
    if ranks and added > 1:
        yield (
            f"       accumulation_steps={added} adds no negatives: a query sees {together} "
            f"examples, not {stream.rows}; raise batch_size for more"
        )
    if stream.left_out:
        yield f"       a pass leaves out {stream.left_out} examples, others each time"
