"""Spread items over the actors of a Ray Data stage; results stream back as they are ready."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

from pydantic import BeforeValidator

from medembed.errors import DataError, MedEmbedError
from medembed.language import tr

Workers = int | tuple[int, int]  # a number of actors, or [fewest, most]
# Up to so many items an actor has none in advance: of two items, the actor that is ready first
# would take both. With more, one in advance hides the way to the actor (20 ms), and an end at which
# some idle weighs little.
_FEW_ITEMS_PER_WORKER = 16
# Share of actors that are busy from which a pool grows, those that still start counted: while items
# wait, to its most. Ray's own threshold needs items in advance, and adds one actor after the other.
_GROW_FROM = 0.5
# Ray Data would give an item to new processes for ever. A node that goes takes a process with it
# now and then; an item whose process ends each time is at fault itself.
_MOST_RETRIES = 5


def _check_workers(value: object) -> Workers:
    bounds = list(value) if isinstance(value, list | tuple) else [value]
    numbers = [
        int(bound) if isinstance(bound, str) and bound.isdecimal() else bound for bound in bounds
    ]
    counts = [
        count
        for count in numbers
        if isinstance(count, int) and not isinstance(count, bool) and count >= 1
    ]
    if len(counts) < len(bounds) or len(counts) not in (1, 2) or counts != sorted(counts):
        raise ValueError(tr("expected a number from 1, or two of them, [fewest,most]"))
    return counts[0] if len(set(counts)) == 1 else (counts[0], counts[1])


WorkerCount = Annotated[Workers, BeforeValidator(_check_workers)]  # as a config key


def spread(
    items: Sequence[dict[str, Any]],
    stage: type,
    arguments: dict[str, Any],
    *,
    workers: Workers | None,
    cpus: float = 1,
    gpus: float = 0,
) -> Iterator[dict[str, Any]]:
    """Yield what `stage(**arguments)(item)` returns for each item, as items finish.

    `stage` is a class, so that what it loads is loaded once per actor. Actors that die are replaced
    and their item is done again; an exception in the stage ends the run. `workers` [fewest, most]
    start as the fewest and grow while items wait and the cluster has room; None takes every CPU.
    Raises DataError if the process ends at the same item again and again.
    """
    import ray
    import ray.data

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    # so that a worker's one-line error reaches the user as such
    context.raise_original_map_exception = True
    context.autoscaling_config.actor_pool_util_upscaling_threshold = _GROW_FROM
    rows = ray.data.from_items(list(items), override_num_blocks=len(items))
    fewest, most = _bounds(workers or int(ray.cluster_resources().get("CPU", 1)), len(items))
    in_flight = 1 if len(items) <= _FEW_ITEMS_PER_WORKER * most else 2
    pool = ray.data.ActorPoolStrategy(
        min_size=fewest, max_size=most, max_tasks_in_flight_per_actor=in_flight
    )
    with warnings.catch_warnings():
        # Ray 2.60 calls `max_task_retries` deprecated, and has no other name for it yet.
        warnings.simplefilter("ignore", DeprecationWarning)
        results = rows.map(
            stage,
            fn_constructor_kwargs=arguments,
            compute=pool,
            num_cpus=cpus,
            num_gpus=gpus,
            max_task_retries=_MOST_RETRIES,
        )
    with _errors_in_one_line(stage):
        yield from results.iter_rows()


@contextmanager
def _errors_in_one_line(stage: type) -> Iterator[None]:
    """Raise what the stage raised, without Ray's wrapper and a worker's traceback."""
    import ray

    try:
        yield
    except ray.exceptions.RayTaskError as error:
        # The wrapper is a MedEmbedError too, but its message is the traceback.
        if isinstance(error.cause, MedEmbedError):
            raise type(error.cause)(str(error.cause).splitlines()[0]) from None
        raise
    except ray.exceptions.RayActorError:
        raise DataError(
            "{name}: a worker's process ended {most_retries} times at the same rows: not "
            "enough memory, or a text that crashes the model's code. What is finished is "
            "kept. Give the workers more memory, or look at the longest texts.",
            name=stage.__name__,
            most_retries=_MOST_RETRIES + 1,
        ) from None


def _bounds(workers: Workers, items: int) -> tuple[int, int]:
    """Return (fewest, most) actors, never more than there are items."""
    fewest, most = (workers, workers) if isinstance(workers, int) else workers
    return min(fewest, items), min(most, items)
