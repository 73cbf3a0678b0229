"""Models beside the main one in a replica: each loaded when it is first asked for, so many at a
time.
"""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypedDict
from weakref import WeakValueDictionary

from medembed.encoding.config import EncodingConfig
from serve.replica.compute import Served, load_served
from serve.replica.protocol import Training

# What of a Model only a replica knows that has loaded it.
UNKNOWN = (
    "prompts",
    "has_roles",
    "pooling",
    "max_input_tokens",
    "vocabulary",
    "int8_ranges",
    "table",
)


class Entry(TypedDict):
    """What is known of a model before it is loaded; `model` is its folder."""

    model: str
    version: str
    fingerprint: str
    width: int | None
    dimensions: list[int]
    training: Training | None


@dataclass(eq=False)
class _Slot:
    """A loaded model in Serve's cache, which a swap replaces in its place."""

    entry: Entry
    served: Served


class Extras:
    """`entries` are {name: Entry}; the least recently used model goes where another is asked
    for.
    """

    def __init__(self, encoding: EncodingConfig, most: int) -> None:
        from ray import serve

        self.encoding, self.entries = encoding, dict[str, Entry]()
        # those that Serve still keeps
        self._slots: WeakValueDictionary[str, _Slot] = WeakValueDictionary()

        async def load(model_id: str) -> _Slot:
            return await self._load(model_id)

        self._cached = serve.multiplexed(max_num_models_per_replica=most)(load)

    async def get(self, name: str) -> Served:
        """This model, loaded now if need be."""
        slot: _Slot = await self._cached(name)
        entry = self.entries[name]
        if slot.entry != entry:  # it was loaded while a swap was under way
            slot.entry, slot.served = entry, await self._read(name, entry)
        return slot.served

    async def reload(self, entries: Mapping[str, Entry]) -> dict[str, Served]:
        """Of the models that are loaded those that change with these entries, loaded anew; nothing
        is swapped yet.
        """
        changed = [
            name
            for name, slot in self._slots.items()
            if name in entries and entries[name] != slot.entry
        ]
        return {name: await self._read(name, entries[name]) for name in changed}

    def swap(self, entries: Mapping[str, Entry], loaded: Mapping[str, Served]) -> None:
        """Answers by these entries from now on, by what `reload` loaded where it did."""
        self.entries = dict(entries)
        for name, served in loaded.items():
            slot = self._slots.get(name)
            if slot is not None:
                slot.entry, slot.served = entries[name], served

    def describe(self) -> Iterator[dict[str, Any]]:
        """Each model as clients see it; None for what only a replica that has loaded it knows: all
        say the same.
        """
        unknown = {**dict.fromkeys(UNKNOWN), "capabilities": ["embed"]}
        for name, entry in self.entries.items():
            known: dict[str, Any] = {**entry, **unknown, "name": name}
            del known["model"]  # a place on storage is nobody's business
            yield known

    async def _load(self, name: str) -> _Slot:
        while True:
            entry = self.entries[name]
            slot = _Slot(entry, await self._read(name, entry))
            if self.entries[name] == entry:  # else it was swapped while it loaded
                self._slots[name] = slot
                return slot

    async def _read(self, name: str, entry: Entry) -> Served:
        return await asyncio.to_thread(load_served, {**entry, "name": name}, self.encoding)
