"""What a registry knows: versions of all its models, the runs that made or measured them, folders that both name."""

from collections.abc import Iterable, Iterator, Mapping

import yaml

from medembed import storage
from medembed.custody.places import data_places
from medembed.registry.catalog import all_models
from medembed.registry.models import Registry
from medembed.registry.runs import ORIGIN, list_artifacts, model_runs, read_artifact

_CONFIG = "config.yaml"
_REACHED = ("file", *storage.REMOTE)


class Known:
    """Read once. `outputs` are folders that runs wrote to; `pages` [(run, path)] their reports in MLflow;
    `elsewhere` counts runs that were restored, whose outputs are another registry's."""

    def __init__(self, registry: Registry) -> None:
        self.versions, self.runs = all_models(registry), model_runs(registry)
        self.outputs: dict[str, None] = {}
        self.pages: list[tuple[str, str]] = []
        self.elsewhere = 0
        for run_id, tags in self.runs.items():
            for path in list_artifacts(registry, run_id):
                if path.endswith(".html"):
                    self.pages.append((run_id, path))
                elif path == _CONFIG and ORIGIN in tags:
                    self.elsewhere += 1
                elif path == _CONFIG:
                    self.outputs |= dict.fromkeys(_output_of(read_artifact(registry, run_id, path)))

    @property
    def made(self) -> dict[str, dict[str, str]]:
        """{id: tags} of the runs that made a model."""
        return {run_id: tags for run_id, tags in self.runs.items() if "parent" in tags}

    @property
    def tags(self) -> list[Mapping[str, str]]:
        """Those of versions, and of runs, which know of versions that are gone."""
        return [*(one.tags for one in self.versions), *self.runs.values()]

    @property
    def places(self) -> list[str]:
        """Data sets, examples and tables that tags name."""
        return _places(self.tags)

    @property
    def own(self) -> set[str]:
        """Those that this registry's runs made things of, and not such as came from a backup, as what their manifests
        name is the original's."""
        restored = [tags for tags in self.runs.values() if ORIGIN in tags]
        return set(_places(tags for tags in self.runs.values() if ORIGIN not in tags)).difference(_places(restored))


def _places(tags: Iterable[Mapping[str, str]]) -> list[str]:
    return list({storage.absolute(uri).rstrip("/"): None for one in tags for uri in data_places(one)})


def _output_of(config: bytes) -> Iterator[str]:
    """The folder that a run's config names, the one above "{key}" where that is in it."""
    read = yaml.safe_load(config)
    named = read.get("output") if isinstance(read, dict) else None
    if isinstance(named, str) and storage.scheme(named) in _REACHED:
        before, key, _ = named.partition("{key}")
        yield storage.absolute(before.rpartition("/")[0] if key else named).rstrip("/")
