from pathlib import Path

import pytest
import yaml
from pydantic import Field

from jobs.beforehand import check_places
from jobs.cli import JOBS, job_config
from medembed.config import (
    Config,
    InputUri,
    OutputUri,
    from_values,
    list_keys,
    load_config,
    to_yaml,
)
from medembed.errors import ConfigError
from medembed.uris import list_uris


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
        (
            ["model=a", "training.learning_rate=-1"],
            "training.learning_rate: Input should be greater than 0, found '-1'",
        ),
        (["missing.yaml"], "no such config file"),
        (["notes.csv"], "expected key=value or a .yaml file"),
        (
            [
                "model=a",
                "Mrs Smith has had a headache for two days, and since Monday a fever too=1",
            ],
            "^a key: unknown key",
        ),
        (["model=a", "loose"], "expected key=value"),
    ],
)
def test_a_wrong_config_is_told_in_one_line_that_names_the_key(arguments: list[str], message: str):
    with pytest.raises(ConfigError, match=message) as caught:
        load_config(Outer, arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1", "not valid YAML"),
        ("- a\n- b\n", "expected keys and values"),
        ("[1, 2]", "expected keys and values"),
    ],
)
def test_a_file_that_is_no_yaml_or_has_no_keys_is_named(tmp_path: Path, text: str, message: str):
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(ConfigError, match=f"c.yaml: {message}"):
        load_config(Outer, [str(tmp_path / "c.yaml")])


def test_passwords_are_left_out_of_what_is_saved():
    assert "secret" not in to_yaml(Outer(model="http://user:secret@host/m"))


def test_keys_are_listed_with_type_bound_and_default():
    keys = {key.name: key for key in list_keys(Outer)}
    assert (keys["training.learning_rate"].type, keys["training.learning_rate"].default) == (
        "float, > 0",
        "0.1",
    )
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
    check_places(
        Several(
            baseline=("s3://b/one", "models:/medembed@champion", "hf://o/m"), outputs=("gs://b/o",)
        )
    )
    with pytest.raises(ConfigError, match=r"^several.baseline: found local input '/models/two'"):
        check_places(Nested(several=Several(baseline=("s3://b/one", "/models/two"))))
    with pytest.raises(ConfigError, match=r"^outputs: found local output 'o'"):
        check_places(Several(outputs=("s3://b/o", "o")))


class Typed(Config):
    output: OutputUri = "out"
    tag: str | None = None
    names: tuple[str, ...] = ()
    baseline: InputUri | tuple[InputUri, ...] = ()
    models: dict[str, str] = Field(default={})
    weights: dict[int, float] = Field(default={})
    count: int = 1
    switch: bool = False
    dimensions: tuple[int, ...] = ()


# fmt: off
TEXTS = [
    "y5 #2", "notes #1.jsonl", "2020", "007", "1e3", "1_000", "0x10", "12:30", "~", "no", "yes", "on", "off", "True",
    "2024-01-01", "a: b", "{key}/x", "{a: b}", "[a", "[a]", "]", "'", '"quoted"', "it's", "100%", "%", "$HOME",
    "${oc.env:HOME}", "@b", "*c", "&d", "!e", "|", ">", "- f", "?", "#g", "fièvre à 40°", " spaces ", "a=b", "a,b",
    "???", "back\\slash", "tab\there", "line\nend", ".inf", "Null",
]
# fmt: on


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_is_what_was_typed(text: str):
    assert load_config(Typed, [f"tag={text}", f"output={text}"]) == Typed(tag=text, output=text)
    assert load_config(Typed, [f"models.tiny-v1.5={text}"]).models == {"tiny-v1.5": text}
    if not text.startswith("["):
        assert load_config(Typed, [f"baseline={text}"]).baseline == text


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_survives_the_file_of_the_resolved_config(tmp_path: Path, text: str):
    config = Typed(tag=text, output=text, names=(text, text), models={text: text})
    (tmp_path / "c.yaml").write_text(to_yaml(config), encoding="utf-8")
    assert load_config(Typed, [str(tmp_path / "c.yaml")]) == config


@pytest.mark.parametrize(
    ("argument", "names"),
    [
        ("names=[7,007]", ("7", "007")),
        ("names=[no, null, ~, 2024-01-01]", ("no", "null", "~", "2024-01-01")),
        ("names=[en,fr]", ("en", "fr")),
        ("names=['a, b', \"c: d\", 'e #1']", ("a, b", "c: d", "e #1")),
        ("names=[s3://b/c, models:/m@champion]", ("s3://b/c", "models:/m@champion")),
        ("names=[]", ()),
    ],
)
def test_a_list_of_texts_has_them_as_they_were_typed(argument: str, names: tuple[str, ...]):
    assert load_config(Typed, [argument]).names == names


def test_null_and_nothing_are_null_where_a_text_may_be_null_and_a_place_is_never_empty():
    assert load_config(Typed, ["tag=a", "tag=null"]).tag is None
    assert load_config(Typed, ["tag=a", "tag="]).tag is None
    assert load_config(Typed, ["output=null"]).output == "null"
    with pytest.raises(ConfigError, match="output: Input should not be empty"):
        load_config(Typed, ["output="])


def test_a_file_says_texts_as_they_are_written(tmp_path: Path):
    file = tmp_path / "c.yaml"
    file.write_text(
        "output: 2024\ntag: no\nnames: [7, 007, yes]\ncount: 010\nswitch: yes\nweights: {384: "
        "1e-1}\nmodels: {acme/tiny: a, tiny-v1.5: 1.0, 007: on}\n"
    )
    assert load_config(Typed, [str(file)]) == Typed(
        output="2024",
        tag="no",
        names=("7", "007", "yes"),
        count=10,
        switch=True,
        weights={384: 0.1},
        models={"acme/tiny": "a", "tiny-v1.5": "1.0", "007": "on"},
    )
    (tmp_path / "null.yaml").write_text("tag: null\noutput: 'null'\n")
    assert load_config(Typed, [str(tmp_path / "null.yaml"), "count=2"]) == Typed(
        tag=None, output="null", count=2
    )


def test_numbers_and_switches_of_a_command_line_are_numbers_and_switches():
    given = [
        "count=12",
        "switch=true",
        "dimensions=[384, 64]",
        "weights.384=2.5",
        "weights={64: 1}",
    ]
    config = load_config(Typed, given)
    assert (config.count, config.switch, config.dimensions) == (12, True, (384, 64))
    assert config.weights == {384: 2.5, 64: 1.0}


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("count=1.5", "count: Input should be a whole number"),
        ("names=007", r"names: expected a list, names=\[007\]"),
        ("names=[a #1,b]", "names: cannot be read; in a list or mapping, put what has a comma"),
        ("dimensions=[1", "dimensions: cannot be read"),
        ("names=[a: b]", "names.0: Input should be a text"),
    ],
)
def test_a_value_that_cannot_be_read_is_told_with_its_key(argument: str, message: str):
    with pytest.raises(ConfigError, match=message):
        load_config(Typed, [argument])


def test_values_of_a_deployment_are_read_as_a_command_line_s_and_names_may_have_dots_and_slashes():
    given = {
        "output": "2024",
        "models": {"acme/tiny": "a #1", "tiny-v1.5": "b"},
        "dimensions": "[8,4]",
        "count": 3,
    }
    assert from_values(Typed, given) == Typed(
        output="2024", models={"acme/tiny": "a #1", "tiny-v1.5": "b"}, dimensions=(8, 4), count=3
    )
    assert (
        from_values(Outer, {"model": "m", "training.learning_rate": 0.5}).training.learning_rate
        == 0.5
    )
    assert from_values(Outer, {"model": "m", "baseline": None}).baseline is None


def test_a_key_that_stands_twice_in_a_file_is_refused_and_merged_keys_are_not(tmp_path: Path):
    file = tmp_path / "c.yaml"
    file.write_text("model: a\nmodel: b\n")
    with pytest.raises(ConfigError, match="c.yaml: not valid YAML: line 2: a key stands twice"):
        load_config(Outer, [str(file)])
    file.write_text("model: a\ntraining: {<<: {learning_rate: 0.5}}\n")
    assert load_config(Outer, [str(file)]).training.learning_rate == 0.5


@pytest.mark.parametrize("name", JOBS)
def test_every_job_describes_each_of_its_keys_and_its_yaml_is_valid(name: str):
    config = job_config(name)
    assert [key.name for key in list_keys(config) if not key.description] == []
    file = Path(__file__).parent.parent / "jobs" / f"{name}.yaml"
    load_config(config, [str(file)])
    assert yaml.safe_load(file.read_text())
