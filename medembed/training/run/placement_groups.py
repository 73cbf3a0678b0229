"""What the workers of a search's trial hold of a Ray cluster, written down so that it can be taken
from a dead one.

Ray Train keeps it, where a controller died with its trial, until Ray's dashboard says so, and for
ever without one: the trials to come, or the same one tried again, would wait for it.
"""

from medembed import storage

FILE = "placement_group"


def note_held(run: str) -> None:
    """In a worker: writes its placement group into the run's folder."""
    from ray.util import get_current_placement_group

    group = get_current_placement_group()
    if group is not None:
        storage.write_bytes(storage.join(run, FILE), group.id.hex().encode())


def free_held(run: str) -> None:
    """Frees what the last workers of the run held, and ends them, if there are any; harmless where
    they are gone.
    """
    from ray import PlacementGroupID
    from ray.util.placement_group import PlacementGroup, remove_placement_group

    place = storage.join(run, FILE)
    if storage.exists(place):
        name = storage.read_bytes(place).decode()
        remove_placement_group(PlacementGroup(PlacementGroupID(bytes.fromhex(name))))
        storage.delete_file(place)
