from pathlib import Path

import pytest
import yaml
from pydantic import Field

from jobs.cli import JOBS, job_config
from medembed.config import Config, InputUri, list_keys, list_uris, load_config, to_yaml
from medembed.errors import ConfigError


class Inner(Config):
    learning_rate: float = Field(default=0.1, gt=0, description="step size")


class Outer(Config):
    model: InputUri
    baseline: InputUri | None = None
    dimensions: tuple[int, ...] = (4, 2)
    training: Inner = Inner()


def test_overrides_win_over_the_file_and_the_file_over_defaults(tmp_path: Path):
    file = tmp_path / "config.yaml"
    file.write_text("model: a\ntraining: {learning_rate: 0.5}\n")
    config = load_config(Outer, [str(file), "model=b", "dimensions=[8,4]"])
    assert (config.model, config.training.learning_rate, config.dimensions) == ("b", 0.5, (8, 4))


def test_the_resolved_config_reads_back_as_itself(tmp_path: Path):
    config = load_config(Outer, ["model=s3://bucket/m", "training.learning_rate=1e-4"])
    (tmp_path / "c.yaml").write_text(to_yaml(config))
    assert load_config(Outer, [str(tmp_path / "c.yaml")]) == config


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["model=a", "training.learning_rat=1"], "nearest known key is 'training.learning_rate'"),
        (["model=a", "modell=b"], "nearest known key is 'model'"),
        ([], "model: missing"),
        (["model=a", "training.learning_rate=-1"], "training.learning_rate: Input should be greater than 0, found -1"),
        (["missing.yaml"], "no such config file"),
        (["notes.csv"], "expected key=value or a .yaml file"),
        (
            ["model=a", "Mrs Smith has had a headache for two days, and since Monday a fever too=1"],
            "^a key: unknown key",
        ),
        (["model=a", "loose"], "expected key=value"),
    ],
)
def test_a_wrong_config_is_told_in_one_line_that_names_the_key(arguments: list[str], message: str):
    with pytest.raises(ConfigError, match=message) as caught:
        load_config(Outer, arguments)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_yaml_is_named(tmp_path: Path):
    (tmp_path / "c.yaml").write_text("a: [1")
    with pytest.raises(ConfigError, match="c.yaml: not valid YAML"):
        load_config(Outer, [str(tmp_path / "c.yaml")])


@pytest.mark.parametrize("text", ["- a\n- b\n", "[1, 2]"])
def test_a_file_without_keys_is_refused(tmp_path: Path, text: str):
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(ConfigError, match="c.yaml: "):
        load_config(Outer, [str(tmp_path / "c.yaml")])


def test_passwords_are_left_out_of_what_is_saved():
    assert "secret" not in to_yaml(Outer(model="http://user:secret@host/m"))


def test_keys_are_listed_with_type_bound_and_default():
    keys = {key.name: key for key in list_keys(Outer)}
    assert (keys["training.learning_rate"].type, keys["training.learning_rate"].default) == ("float, > 0", "0.1")
    assert keys["model"].default == "required"


def test_storage_places_are_found_by_their_mark_optional_ones_included():
    assert list(list_uris(Outer(model="a"))) == [("model", "input", "a")]
    assert ("baseline", "input", "b") in list(list_uris(Outer(model="a", baseline="b")))


@pytest.mark.parametrize("name", JOBS)
def test_every_job_describes_each_of_its_keys_and_its_yaml_is_valid(name: str):
    config = job_config(name)
    assert [key.name for key in list_keys(config) if not key.description] == []
    file = Path(__file__).parent.parent / "jobs" / f"{name}.yaml"
    load_config(config, [str(file)])
    assert yaml.safe_load(file.read_text())
