"""One config system: a YAML file, then key=value overrides, checked by a frozen pydantic model."""

import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from medembed.config_faults import explain
from medembed.errors import ConfigError
from medembed.language import tr
from medembed.plain_yaml import parse_texts, parse_yaml
from medembed.privacy import without_passwords


class Config(BaseModel):
    """Base of every config: frozen, and unknown keys are refused.

    A text or a list in place of a config's keys is the value of its `short_key`, if it has one.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", protected_namespaces=(), hide_input_in_errors=True
    )
    short_key: ClassVar[str | None] = None

    @model_validator(mode="before")
    @classmethod
    def _write_out(cls, values: Any) -> Any:
        if cls.short_key is None or not isinstance(values, str | list | tuple | None):
            return values
        return {} if values is None else {cls.short_key: values}


@dataclass(frozen=True)
class UriRole:
    """Marks a value that names a place on storage; on a cluster not a node's own disk."""

    role: str
    is_model: bool = False


# An empty place would be the folder that the job runs in.
InputUri = Annotated[str, StringConstraints(min_length=1), UriRole("input")]
ModelUri = Annotated[str, StringConstraints(min_length=1), UriRole("input", is_model=True)]
OutputUri = Annotated[str, StringConstraints(min_length=1), UriRole("output")]

SomeConfig = TypeVar("SomeConfig", bound=Config)


@dataclass(frozen=True)
class Key:
    """One line of `--help`: a dotted key with its type, default and meaning."""

    name: str
    type: str
    default: str
    description: str


def load_config(model: type[SomeConfig], arguments: Sequence[str]) -> SomeConfig:
    """Return the config of `[config.yaml] [key=value ...]`.

    Raises ConfigError that names every fault, on one line. Where a key's type is text, what is
    typed is the text, in a file too; numbers and switches are read by pydantic.
    """
    return validate(model, read_values(model, arguments))


def read_values(model: type[Config], arguments: Sequence[str]) -> dict[str, Any]:
    """Return the nested values of `[config.yaml] [key=value ...]`, which `validate` checks."""
    values: dict[str, Any] = {}
    overrides = list(arguments)
    if overrides and "=" not in overrides[0]:
        values = _in_full(model, _read_yaml(overrides.pop(0)))
    for override in overrides:
        key, mark, text = override.partition("=")
        if not mark:
            raise ConfigError(
                "{override!r}: expected key=value; a config file comes first, and only one.",
                override=override,
            )
        values = merge(values, _override(model, key, text))
    return values


def from_values(model: type[SomeConfig], values: Mapping[str, Any]) -> SomeConfig:
    """Return the config of {key: value}, where keys may be dotted. Raises ConfigError.

    Texts are read as on a command line, other values as they are.
    """
    merged: dict[str, Any] = {}
    for key, value in values.items():
        merged = merge(merged, _override(model, key, value))
    return validate(model, merged)


def validate(model: type[SomeConfig], values: Mapping[str, Any]) -> SomeConfig:
    """Return the config of nested values. Raises ConfigError that names every fault on a line."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        names = [key.name for key in list_keys(model)]
        faults = [explain(fault, names) for fault in error.errors()]
        raise ConfigError(tr("; ").join(faults)) from None


def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested values, those above in place of those below; a list counts as one value."""
    merged = dict(below)
    for key, value in above.items():
        lower = merged.get(key)
        if isinstance(value, Mapping) and isinstance(lower, Mapping):
            value = merge(lower, value)
        merged[key] = value
    return merged


def list_keys(model: type[Config], prefix: str = "") -> Iterator[Key]:
    """Yield every key of a config in order, nested ones dotted."""
    for name, field in model.model_fields.items():
        nested = _nested_config(field.annotation)
        if nested is None:
            yield Key(
                prefix + name, _type_name(field), _default_text(field), field.description or ""
            )
        else:
            yield from list_keys(nested, f"{prefix}{name}.")


def to_yaml(config: Config) -> str:
    """Return the config as YAML that `load_config` reads back, passwords in URIs left out."""
    return without_passwords(
        yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    )


def _read_yaml(path: str) -> dict[str, Any]:
    file = Path(path)
    if file.suffix not in (".yaml", ".yml"):
        raise ConfigError(
            "{path}: expected key=value or a .yaml file; data goes into a key, e.g. "
            "source.path={path}",
            path=path,
        )
    if not file.is_file():
        raise ConfigError("{path}: no such config file; give a YAML file or key=value.", path=path)
    try:
        values = parse_yaml(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(
            "{path}: not valid YAML: {fault}", path=path, fault=_yaml_fault(error)
        ) from None
    if not isinstance(values, dict):
        raise ConfigError("{path}: expected keys and values at the top of the file.", path=path)
    return values


def _yaml_fault(error: yaml.YAMLError | UnicodeDecodeError) -> str:
    mark = getattr(error, "problem_mark", None)
    where = tr("line {line}: ", line=mark.line + 1) if mark else ""
    return where + (getattr(error, "problem", None) or str(error)).splitlines()[0]


def _override(model: type[Config], key: str, value: Any) -> dict[str, Any]:
    """`key=value` as nested values."""
    path, annotation = _find_key(model, key)
    nested = _read_value(key, value, annotation) if isinstance(value, str) else value
    for name in reversed(path):
        nested = {name: nested}
    return dict(_in_full(model, nested))


def _in_full(annotation: Any, values: Any) -> Any:
    """Return the values with every short form written out, so that they can be merged."""
    config = _nested_config(annotation)
    if config is None:
        return values
    if config.short_key and isinstance(values, str | list):
        values = {config.short_key: values}
    if not isinstance(values, Mapping):
        return values
    fields = config.model_fields
    return {
        key: _in_full(fields[key].annotation if key in fields else Any, value)
        for key, value in values.items()
    }


def _find_key(annotation: Any, key: str) -> tuple[list[str], Any]:
    """Return (the names of a dotted key, the type of its value).

    A name in a mapping of values may have dots itself.
    """
    name, dot, rest = key.partition(".")
    config = _nested_config(annotation)
    inner: Any = Any
    if config is not None and name in config.model_fields:
        inner = config.model_fields[name].annotation
    elif get_origin(annotation) is dict:
        value = get_args(annotation)[1]
        if get_origin(value) is not dict:
            return [key], value
    if not dot:
        return [name], inner
    names, annotation_of_rest = _find_key(inner, rest)
    return [name, *names], annotation_of_rest


def _read_value(key: str, text: str, annotation: Any) -> Any:
    """Return what a text on the command line means for a key of this type."""
    options = list(_options(annotation))
    lists = [get_args(option)[0] for option in options if get_origin(option) is tuple]
    takes_texts = any(str in _options(item) for item in lists)
    is_list = text.startswith("[") and text.endswith("]")
    if text in ("", "null") and type(None) in options:
        return None
    if (str in options or takes_texts) and not (is_list and takes_texts):
        return text
    try:
        return parse_texts(text) if takes_texts else parse_yaml(text)
    except yaml.YAMLError:
        raise ConfigError(
            "{key}: cannot be read; in a list or mapping, put what has a comma, bracket, "
            "colon, # or quote into quotes: '{key}=[\"a, b\",c]'.",
            key=key,
        ) from None


def _options(annotation: Any) -> Iterator[Any]:
    """Yield the types that a value may have, each by itself."""
    if get_origin(annotation) is Annotated:
        yield from _options(get_args(annotation)[0])
    elif get_origin(annotation) in (Union, types.UnionType):
        for option in get_args(annotation):
            yield from _options(option)
    else:
        yield annotation


def _nested_config(annotation: Any) -> type[Config] | None:
    return annotation if isinstance(annotation, type) and issubclass(annotation, Config) else None


def _type_name(field: FieldInfo) -> str:
    described = _annotation_name(field.annotation)
    for mark in field.metadata:
        for name, symbol in (("gt", ">"), ("ge", ">="), ("lt", "<"), ("le", "<=")):
            if hasattr(mark, name):
                described += f", {symbol} {getattr(mark, name)}"
    return described


def _annotation_name(annotation: Any) -> str:
    origin = get_origin(annotation)
    options = get_args(annotation)
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
