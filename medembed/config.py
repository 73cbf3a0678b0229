"""One config system: a YAML file, then key=value overrides, checked by a frozen pydantic model."""

import difflib
import types
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticUndefined

from medembed.errors import ConfigError
from medembed.privacy import without_passwords


class Config(BaseModel):
    """Base of every config: frozen, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), hide_input_in_errors=True)


@dataclass(frozen=True)
class UriRole:
    """Marks a config value that names a place on storage; a cluster job may not name a node's own disk."""

    role: str
    is_model: bool = False


InputUri = Annotated[str, UriRole("input")]
ModelUri = Annotated[str, UriRole("input", is_model=True)]
OutputUri = Annotated[str, UriRole("output")]

_LONGEST_KEY = 60
SomeConfig = TypeVar("SomeConfig", bound=Config)


@dataclass(frozen=True)
class Key:
    """One line of `--help`: a dotted key with its type, default and meaning."""

    name: str
    type: str
    default: str
    description: str


def load_config(model: type[SomeConfig], arguments: Sequence[str]) -> SomeConfig:
    """The config of `[config.yaml] [key=value ...]`. Raises ConfigError that names every fault, on one line."""
    values: Any = OmegaConf.create()
    overrides = list(arguments)
    if overrides and "=" not in overrides[0]:
        values = _read_yaml(overrides.pop(0))
    for override in overrides:
        if "=" not in override:
            raise ConfigError(f"{override!r}: expected key=value; a config file comes first, and only one.")
    try:
        merged = OmegaConf.merge(values, OmegaConf.from_dotlist(overrides))
        container = OmegaConf.to_container(merged, resolve=True, throw_on_missing=True)
    except (OmegaConfBaseException, yaml.YAMLError) as error:
        raise ConfigError(f"config: {str(error).splitlines()[0]}") from None
    try:
        return model.model_validate(container)
    except ValidationError as error:
        raise ConfigError("; ".join(_explain(model, fault) for fault in error.errors())) from None


def list_keys(model: type[Config], prefix: str = "") -> Iterator[Key]:
    """Every key of a config in order, nested ones dotted."""
    for name, field in model.model_fields.items():
        nested = _nested_config(field.annotation)
        if nested is None:
            yield Key(prefix + name, _type_name(field), _default_text(field), field.description or "")
        else:
            yield from list_keys(nested, f"{prefix}{name}.")


def list_uris(config: Config) -> Iterator[tuple[str, str, str]]:
    """(key, role, value) of every storage place that the config names."""
    for key, mark, uri in _list_marked(config):
        yield key, mark.role, uri


def list_models(config: Config) -> Iterator[tuple[str, str]]:
    """(key, reference) of every model that the config names."""
    for key, mark, uri in _list_marked(config):
        if mark.is_model:
            yield key, uri


def to_yaml(config: Config) -> str:
    """The resolved config as YAML that `load_config` reads back, passwords in URIs left out."""
    return without_passwords(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True))


def _list_marked(config: Config, prefix: str = "") -> Iterator[tuple[str, UriRole, str]]:
    for name, field in type(config).model_fields.items():
        value = getattr(config, name)
        if isinstance(value, Config):
            yield from _list_marked(value, f"{prefix}{name}.")
            continue
        marks = {mark for mark in _marks(field) if isinstance(mark, UriRole)}
        values = value if isinstance(value, tuple) else (value,)
        yield from ((prefix + name, mark, uri) for mark in marks for uri in values if isinstance(uri, str))


def _read_yaml(path: str) -> Any:
    file = Path(path)
    if file.suffix not in (".yaml", ".yml"):
        raise ConfigError(f"{path}: expected key=value or a .yaml file; data goes into a key, e.g. source.path={path}")
    if not file.is_file():
        raise ConfigError(f"{path}: no such config file; give a YAML file or key=value.")
    try:
        values = OmegaConf.load(file)
        if not OmegaConf.is_dict(values):
            raise ConfigError(f"{path}: expected keys and values at the top of the file.")
        return values
    except (OmegaConfBaseException, yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid YAML: {str(error).splitlines()[0]}") from None


def _explain(model: type[Config], fault: ErrorDetails) -> str:
    key = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        nearest = difflib.get_close_matches(key, [known.name for known in list_keys(model)], n=1, cutoff=0.0)
        shown = key if len(key) <= _LONGEST_KEY else "a key"  # it might be a text rather than a key
        return f"{shown}: unknown key; the nearest known key is {nearest[0]!r} (--help lists all)"
    if fault["type"] == "missing":
        return f"{key}: missing; give {key}=... (--help lists all keys)"
    found = fault.get("input")
    shown = f", found {found!r}" if isinstance(found, int | float | str | list | bool) else ""
    return f"{key}: {fault['msg']}{shown}"


def _marks(field: FieldInfo) -> list[Any]:
    """Annotations of a field, those inside `InputUri | None` and `tuple[InputUri, ...]` included."""
    return [*field.metadata, *_inner_marks(field.annotation)]


def _inner_marks(annotation: Any) -> Iterator[Any]:
    if get_origin(annotation) is Annotated:
        yield from annotation.__metadata__
    for option in get_args(annotation):
        yield from _inner_marks(option)


def _nested_config(annotation: Any) -> type[Config] | None:
    return annotation if isinstance(annotation, type) and issubclass(annotation, Config) else None


def _type_name(field: FieldInfo) -> str:
    bounds = [
        f"{symbol} {getattr(mark, name)}"
        for mark in field.metadata
        for name, symbol in (("gt", ">"), ("ge", ">="), ("lt", "<"), ("le", "<="))
        if hasattr(mark, name)
    ]
    return ", ".join([_annotation_name(field.annotation), *bounds])


def _annotation_name(annotation: Any) -> str:
    origin, options = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _annotation_name(options[0])
    if origin in (Union, types.UnionType):
        return " or ".join(_annotation_name(option) for option in options)
    if annotation is type(None):
        return "null"
    if origin in (list, tuple):
        return f"list of {_annotation_name(options[0])}"
    if origin is not None:
        return " | ".join(repr(option) for option in options)
    return getattr(annotation, "__name__", str(annotation))


def _default_text(field: FieldInfo) -> str:
    default = field.get_default(call_default_factory=True)
    if default is PydanticUndefined:
        return "required"
    if default is None:
        return "null"
    return str(list(default)) if isinstance(default, tuple) else str(default)
