"""One retraining of a model at a time on a Ray cluster: a named actor, which ends with the driver
that owns it.
"""

import getpass
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from medembed.errors import MedEmbedError

_NAMESPACE = "medembed"


class Busy(MedEmbedError):
    """Another retraining of the same model runs on this cluster; the message says whose."""


class _Holder:
    def __init__(self, who: str) -> None:
        self.who = who

    def tell(self) -> str:
        return self.who


@contextmanager
def hold(model: str) -> Iterator[None]:
    """Holds the model's retraining while the block runs. Raises Busy if another driver on this Ray
    does.

    Across clusters nothing is held: there the champion's alias, read again before it moves, and the
    table's commit conflict keep one of two from replacing what it has not seen.
    """
    import ray
    from ray.exceptions import RayActorError

    name, who = (
        f"retrain-{model}",
        f"{getpass.getuser()} on {socket.gethostname()}, process {os.getpid()}",
    )
    holder = ray.remote(num_cpus=0)(_Holder)
    try:
        actor = holder.options(name=name, namespace=_NAMESPACE).remote(
            f"{who}, since {datetime.now(UTC):%H:%M} UTC"
        )
        ray.get(actor.tell.remote())
    except ValueError:  # the name is taken
        try:
            other = ray.get(ray.get_actor(name, namespace=_NAMESPACE).tell.remote(), timeout=30)
        except (ValueError, RayActorError, TimeoutError):
            other = "another process that is just ending"
        raise Busy(
            f"models:/{model} is being retrained already, by {other}; this one ends and "
            "changes nothing."
        ) from None
    try:
        yield
    finally:
        ray.kill(actor)
