"""A short form of a config key is merged with further keys."""

from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import Field, field_validator

from medembed.config import (
    Config,
    InputUri,
    load_config,
    to_yaml,
)
from medembed.uris import list_uris, map_uris


class Sets(Config):
    short_key: ClassVar[str | None] = "places"
    places: dict[str, InputUri] = Field(default={})
    tolerance: float = 0.1

    @field_validator("places", mode="before")
    @classmethod
    def _name(cls, values: Any) -> Any:
        return {name: name for name in values} if isinstance(values, list) else values


class WithSets(Config):
    kept: Sets = Sets()


@pytest.mark.parametrize(
    "arguments",
    [
        ["kept=[a,b]", "kept.tolerance=0.2"],
        ["kept.tolerance=0.2", "kept=[a,b]"],
        ["kept.places=[a,b]", "kept.tolerance=0.2"],
        ["kept.places={a: a, b: b}", "kept.tolerance=0.2"],
        ["kept.places.a=a", "kept.places.b=b", "kept.tolerance=0.2"],
    ],
)
def test_a_short_form_is_merged_with_further_keys(arguments: list[str]):
    config = load_config(WithSets, arguments)
    assert config == WithSets(kept=Sets(places={"a": "a", "b": "b"}, tolerance=0.2))


def test_a_short_form_in_a_file_is_merged_with_what_is_typed(tmp_path: Path):
    file = tmp_path / "c.yaml"
    file.write_text("kept: [a, b]\n")
    config = load_config(WithSets, [str(file), "kept.tolerance=0.2"])
    assert (config.kept.places, config.kept.tolerance) == ({"a": "a", "b": "b"}, 0.2)
    assert load_config(WithSets, [str(file), "kept=[c]"]).kept.places == {"c": "c"}
    (tmp_path / "saved.yaml").write_text(to_yaml(config))
    assert load_config(WithSets, [str(tmp_path / "saved.yaml")]) == config


def test_places_in_a_mapping_are_found_and_changed():
    config = WithSets(kept=Sets(places={"a": "x", "b": "y"}))
    assert list(list_uris(config)) == [("kept.places", "input", "x"), ("kept.places", "input", "y")]
    assert map_uris(config, str.upper).kept.places == {"a": "X", "b": "Y"}
