"""List and change the storage places and models that a config names."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Annotated, Any, NamedTuple, TypeVar, get_args, get_origin

from pydantic.fields import FieldInfo

from medembed.config import Config, UriRole

SomeConfig = TypeVar("SomeConfig", bound=Config)
Change = Callable[[str], str]


class NamedUri(NamedTuple):
    """A storage place, the key that names it, and whether it is an input or an output."""

    key: str
    role: str
    uri: str


def list_uris(config: Config) -> Iterator[NamedUri]:
    """Yield every storage place that the config names."""
    for key, mark, uri in _list_marked(config):
        yield NamedUri(key, mark.role, uri)


def list_models(config: Config) -> Iterator[tuple[str, str]]:
    """Yield (key, reference) of every model that the config names."""
    for key, mark, uri in _list_marked(config):
        if mark.is_model:
            yield key, uri


def map_uris(config: SomeConfig, change: Change) -> SomeConfig:
    """Return the config with every storage place changed."""
    return _map(config, change, lambda mark: True)


def map_models(config: SomeConfig, change: Change) -> SomeConfig:
    """Return the config with every reference to a model changed."""
    return _map(config, change, lambda mark: mark.is_model)


def _map(config: SomeConfig, change: Change, is_meant: Callable[[UriRole], bool]) -> SomeConfig:
    changed: dict[str, Any] = {}
    for name, field in type(config).model_fields.items():
        value = getattr(config, name)
        if isinstance(value, Config):
            changed[name] = _map(value, change, is_meant)
        elif any(map(is_meant, _roles(field))):
            changed[name] = _changed(value, change)
    return config.model_copy(update=changed)


def _list_marked(config: Config, prefix: str = "") -> Iterator[tuple[str, UriRole, str]]:
    for name, field in type(config).model_fields.items():
        value = getattr(config, name)
        if isinstance(value, Config):
            yield from _list_marked(value, f"{prefix}{name}.")
            continue
        for role in _roles(field):
            for uri in _values(value):
                if isinstance(uri, str):
                    yield prefix + name, role, uri


def _values(value: Any) -> Iterable[Any]:
    """Return what a field holds: the entries of a list or a mapping, or the value alone."""
    if isinstance(value, Mapping):
        return value.values()
    return value if isinstance(value, tuple) else (value,)


def _changed(value: Any, change: Change) -> Any:
    if isinstance(value, Mapping):
        return {name: change(uri) for name, uri in value.items()}
    if isinstance(value, tuple):
        return tuple(map(change, value))
    return change(value) if value and isinstance(value, str) else value


def _roles(field: FieldInfo) -> set[UriRole]:
    """Return the roles of a field, inside `InputUri | None` and `tuple[InputUri, ...]` too."""
    marks = [*field.metadata, *_inner_marks(field.annotation)]
    return {mark for mark in marks if isinstance(mark, UriRole)}


def _inner_marks(annotation: Any) -> Iterator[Any]:
    if get_origin(annotation) is Annotated:
        yield from annotation.__metadata__
    for option in get_args(annotation):
        yield from _inner_marks(option)
