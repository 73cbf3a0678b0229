"""Spreads items over the actors of a Ray Data stage; results stream back as they are ready."""

from collections.abc import Iterator, Sequence
from typing import Any

from medembed.errors import MedEmbedError


def spread(
    items: Sequence[dict[str, Any]],
    stage: type,
    arguments: dict[str, Any],
    *,
    workers: int | None,
    cpus: float = 1,
    gpus: float = 0,
) -> Iterator[dict[str, Any]]:
    """What `stage(**arguments)(item)` returns for each item, in the order in which items finish.

    `stage` is a class, so that what it loads is loaded once per actor. Actors that die are replaced and
    their item is done again; an exception in the stage ends the run. `workers` None takes every CPU.
    """
    import ray
    import ray.data

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.raise_original_map_exception = True  # so that a worker's one-line error reaches the user as such
    rows = ray.data.from_items(list(items), override_num_blocks=len(items))
    pool = ray.data.ActorPoolStrategy(size=min(workers or int(ray.cluster_resources().get("CPU", 1)), len(items)))
    results = rows.map(stage, fn_constructor_kwargs=arguments, compute=pool, num_cpus=cpus, num_gpus=gpus)
    try:
        yield from results.iter_rows()
    except ray.exceptions.RayTaskError as error:
        # Ray's own wrapper is a MedEmbedError too, but its message is a worker's traceback.
        if isinstance(error.cause, MedEmbedError):
            raise type(error.cause)(str(error.cause).splitlines()[0]) from None
        raise
