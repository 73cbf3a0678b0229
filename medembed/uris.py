"""Which storage places a config names, of which role."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Annotated, Any, TypeVar, get_args, get_origin

from pydantic.fields import FieldInfo

from medembed.config import Config, UriRole

SomeConfig = TypeVar("SomeConfig", bound=Config)


def list_uris(config: Config) -> Iterator[tuple[str, str, str]]:
    """Yield (key, role, value) of every storage place that the config names."""
    for key, mark, uri in _list_marked(config):
        yield key, mark.role, uri


def list_models(config: Config) -> Iterator[tuple[str, str]]:
    """Yield (key, reference) of every model that the config names."""
    for key, mark, uri in _list_marked(config):
        if mark.is_model:
            yield key, uri


def map_uris(config: SomeConfig, change: Callable[[str], str]) -> SomeConfig:
    """Return the config with every storage place changed."""
    changed: dict[str, Any] = {}
    for name, field in type(config).model_fields.items():
        value = getattr(config, name)
        if isinstance(value, Config):
            changed[name] = map_uris(value, change)
        elif any(isinstance(mark, UriRole) for mark in _marks(field)):
            changed[name] = _changed(value, change)
    return config.model_copy(update=changed)


def _list_marked(config: Config, prefix: str = "") -> Iterator[tuple[str, UriRole, str]]:
    for name, field in type(config).model_fields.items():
        value = getattr(config, name)
        if isinstance(value, Config):
            yield from _list_marked(value, f"{prefix}{name}.")
            continue
        for mark in {mark for mark in _marks(field) if isinstance(mark, UriRole)}:
            for uri in _values(value):
                if isinstance(uri, str):
                    yield prefix + name, mark, uri


def _values(value: Any) -> Iterable[Any]:
    """Return what a field holds: the entries of a list or a mapping, or the value alone."""
    if isinstance(value, Mapping):
        return value.values()
    return value if isinstance(value, tuple) else (value,)


def _changed(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, Mapping):
        return {name: change(uri) for name, uri in value.items()}
    return tuple(map(change, value)) if isinstance(value, tuple) else value and change(value)


def _marks(field: FieldInfo) -> list[Any]:
    """Annotations of a field, those inside `InputUri | None` and `tuple[InputUri, ...]`
    included.
    """
    return [*field.metadata, *_inner_marks(field.annotation)]


def _inner_marks(annotation: Any) -> Iterator[Any]:
    if get_origin(annotation) is Annotated:
        yield from annotation.__metadata__
    for option in get_args(annotation):
        yield from _inner_marks(option)
