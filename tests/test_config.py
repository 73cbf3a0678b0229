from pathlib import Path

import pytest
import yaml
from pydantic import Field

from jobs.cli import JOBS, job_config
from jobs.session import check_places
from medembed.config import Config, InputUri, OutputUri, list_keys, list_uris, load_config, to_yaml
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


class Several(Config):
    baseline: InputUri | tuple[InputUri, ...] = ()
    outputs: tuple[OutputUri, ...] | None = None
    names: tuple[str, ...] = ("no/place",)


class Nested(Config):
    several: Several = Several()


def test_each_of_a_list_of_storage_places_is_found_by_its_mark():
    config = load_config(Nested, ["several.baseline=[a,s3://b/c]", "several.outputs=[d]"])
    assert list(list_uris(config)) == [
        ("several.baseline", "input", "a"),
        ("several.baseline", "input", "s3://b/c"),
        ("several.outputs", "output", "d"),
    ]
    assert list(list_uris(load_config(Several, ["baseline=a"]))) == [("baseline", "input", "a")]
    assert list(list_uris(Several())) == []
    assert {key.name: key.type for key in list_keys(Several)}["baseline"] == "str or list of str"


def test_a_cluster_is_refused_any_local_place_of_a_list():
    check_places(Several(baseline=("s3://b/one", "models:/medembed@champion", "hf://o/m"), outputs=("gs://b/o",)))
    with pytest.raises(ConfigError, match=r"^several.baseline: found local input '/models/two'"):
        check_places(Nested(several=Several(baseline=("s3://b/one", "/models/two"))))
    with pytest.raises(ConfigError, match=r"^outputs: found local output 'o'"):
        check_places(Several(outputs=("s3://b/o", "o")))


@pytest.mark.parametrize("name", JOBS)
def test_every_job_describes_each_of_its_keys_and_its_yaml_is_valid(name: str):
    config = job_config(name)
    assert [key.name for key in list_keys(config) if not key.description] == []
    file = Path(__file__).parent.parent / "jobs" / f"{name}.yaml"
    load_config(config, [str(file)])
    assert yaml.safe_load(file.read_text())
