"""Allow one retraining of a model at a time on a Ray cluster, by a named actor.

The actor ends with the driver that owns it.
"""

import getpass
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from medembed.errors import MedEmbedError
from medembed.finetuning.incoming import Incoming
from medembed.finetuning.retrain import Publish, Retrained, retrain
from medembed.finetuning.retrain_config import RetrainConfig
from medembed.language import to_translate, tr
from medembed.registry.models import Registry

BUSY = "busy"  # the outcome where another retraining of the model runs
_NAMESPACE = "medembed"


class Busy(MedEmbedError):
    """Another retraining of the same model runs on this cluster; the message says whose."""


class _Holder:
    def __init__(self, name: str) -> None:
        self.name = name

    def read(self) -> str:
        return self.name


def retrain_alone(config: RetrainConfig, registry: Registry, publish: Publish) -> Retrained:
    """Retrain as `retrain` does, or change nothing while another driver retrains the model."""
    try:
        with hold(config.registry.model_name):
            return retrain(config, registry, publish)
    except Busy as busy:
        return Retrained(BUSY, (str(busy),), Incoming((), 0, 0, {}))


@contextmanager
def hold(model: str) -> Iterator[None]:
    """Hold the model's retraining while the block runs. Raises Busy if another driver holds it.

    That is a driver on this Ray. Across clusters nothing is held: there the champion's alias, read
    again before it moves, and the table's commit conflict keep one of two from replacing what it
    has not seen.
    """
    import ray
    from ray.exceptions import RayActorError

    name = f"retrain-{model}"
    holder = tr(
        "{user} on {host}, process {process}, since {time:%H:%M} UTC",
        user=getpass.getuser(),
        host=socket.gethostname(),
        process=os.getpid(),
        time=datetime.now(UTC),
    )
    actor_class = ray.remote(num_cpus=0)(_Holder)
    try:
        actor = actor_class.options(name=name, namespace=_NAMESPACE).remote(holder)
        ray.get(actor.read.remote())
    except ValueError:  # the name is taken
        try:
            other = ray.get(ray.get_actor(name, namespace=_NAMESPACE).read.remote(), timeout=30)
        except (ValueError, RayActorError, TimeoutError):
            other = tr("another process that is just ending")
        raise Busy(
            to_translate(
                "models:/{model} is being retrained already, by {other}; this one ends and "
                "changes nothing."
            ),
            model=model,
            other=other,
        ) from None
    try:
        yield
    finally:
        ray.kill(actor)
