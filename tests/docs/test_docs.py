"""Every command of the docs does what they say, and nothing that it leaves behind has a row's
text.
"""

import contextlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import pytest

from jobs.cli import JOBS, job_config
from medembed.config import list_keys, load_config
from medembed.errors import ConfigError
from medembed.evaluation.must_rank import load_cases
from medembed.tables.maintain import Action
from tests.docs.bad import ask_badly, bad_commands
from tests.docs.checks import Fault
from tests.docs.hands import Typed, find_hand, type_all, type_bad
from tests.docs.pages import ROOT, Block, blocks, commands, inline_code
from tests.docs.traces import find_traces, read_metrics
from tests.docs.world import World, make_world
from tests.inline_spread import alone

COMMANDS = commands()


@dataclass(frozen=True)
class Done:
    """What came of the docs' commands, of those that must fail, of the requests; where a sentinel
    stands after it.
    """

    typed: dict[str, Typed]
    failed: list[Typed]
    statuses: list[int]
    traces: list[str]


@pytest.fixture(scope="module")
def done(
    encoder_folder: Path,
    empty_registry: Path,
    s3_environment: dict[str, str],
    ray_local: None,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Done]:
    """Type all commands in one place and in reading order."""
    with pytest.MonkeyPatch.context() as patch, alone():
        for name, value in s3_environment.items():
            patch.setenv(name, value)
        patch.setattr("jobs.session.ray_session", lambda _: contextlib.nullcontext())
        patch.setattr("jobs.session.exit_on_signals", lambda: None)
        patch.setattr("jobs.session.atexit.register", lambda _: None)
        world = make_world(tmp_path_factory.mktemp("docs"), encoder_folder, empty_registry)
        patch.chdir(world.root)
        try:
            yield _do(world)
        finally:
            world.close()


def _do(world: World) -> Done:
    typed = {str(outcome.command): outcome for outcome in type_all(world, COMMANDS)}
    failed = [type_bad(world, text) for text in bad_commands(world)]
    if world.server is None:
        return Done(typed, failed, [], ["the command of the docs that starts a server failed"])
    statuses = ask_badly(world)
    logs = [Path(os.environ["RAY_TMPDIR"], "ray"), world.server_scratch()]
    # A server's answer has ids as the data have them.
    printed = {}
    for outcome in [*typed.values(), *failed]:
        if not outcome.text.startswith("curl "):
            printed[outcome.text] = outcome.output
    traces = find_traces(world, logs, printed | {"metrics": read_metrics(world.url)})
    return Done(typed, failed, statuses, traces)


@pytest.mark.ray
@pytest.mark.parametrize(
    "name", list(map(str, COMMANDS)), ids=[f"{command.page}:{command.line}" for command in COMMANDS]
)
def test_each_command_of_the_docs_runs_as_printed(name: str, done: Done):
    outcome = done.typed[name]
    assert not outcome.fault, f"{outcome.text}\n{outcome.fault}\n{outcome.output[-2000:]}"


@pytest.mark.ray
def test_no_output_log_metric_or_report_has_a_rows_text(done: Done):
    assert not done.traces, "\n".join(done.traces)


@pytest.mark.ray
def test_what_is_wrong_with_a_row_is_one_line_that_does_not_quote_it(done: Done):
    for outcome in done.failed:
        last = outcome.output.strip().splitlines()[-1]
        assert outcome.fault == "Fault: exit status 2", f"{outcome.text}\n{outcome.output[-1000:]}"
        assert last.startswith("error: "), outcome.text
    assert set(done.statuses[:-2]) <= {400, 404, 405, 409, 422}
    assert done.statuses[-2:] == [200, 200]


# Blocks and code in sentences that are no commands: what they are is checked without typing them.


def test_every_block_is_of_a_kind_that_is_checked():
    assert {block.language for block in blocks()} == {"sh", "python", "yaml", "json", "text"}


@pytest.mark.parametrize(
    "block", [block for block in blocks() if block.language == "yaml"], ids=Block.name
)
def test_each_yaml_of_the_docs_is_a_config_of_a_job_or_cases(block: Block, tmp_path: Path):
    file = tmp_path / "docs.yaml"
    file.write_text(block.text)
    if block.text.startswith("- "):
        assert load_cases(str(file))
        return
    faults = {job: _faults(job, file) for job in JOBS}
    assert "" in faults.values(), faults


def _faults(job: str, file: Path) -> str:
    """Return the job's error about a part of a config, whose missing required keys are filled."""
    arguments = [str(file)]
    for key in list_keys(job_config(job)):
        if key.default == "required":
            arguments.append(f"{key.name}={'log' if key.name == 'action' else 'a'}")
    try:
        load_config(job_config(job), arguments)
    except ConfigError as error:
        return str(error)
    return ""


@pytest.mark.ray
def test_the_answers_in_the_docs_have_the_fields_of_real_ones(done: Done):
    shown = [json.loads(block.text) for block in blocks() if block.language == "json"]
    real = []
    for outcome in done.typed.values():
        if re.search("/v1/(tokenize|search|rerank)", outcome.text):
            real.append(json.loads(outcome.output))
    assert list(map(_fields, real)) == list(map(_fields, shown))


def _fields(answer: Any) -> Any:
    """Return the names in an answer, without documents' own fields, which the operator chooses."""
    if isinstance(answer, list):
        return _fields(answer[0])
    if isinstance(answer, dict):
        return {name: _fields(value) for name, value in answer.items() if name != "fields"}
    return None


_FILE = re.compile(r"(jobs|serve|deploy|docs|benchmarks)/[\w/]+\.\w+$")
_NAMED = re.compile(rf"(medembed|make) \w|python -m |{_FILE.pattern}")


@pytest.mark.parametrize(
    "code", sorted({code.text for code in inline_code() if _NAMED.match(code.text)})
)
def test_a_command_in_a_sentence_names_what_is_there(code: str):
    words = code.split()
    if re.match(r"medembed \w", code):
        assert words[1] in JOBS
        assert words[1] != "table" or words[2] in get_args(Action)
        keys = {key.name for key in list_keys(job_config(words[1]))}
        given = {word.partition("=")[0] for word in words[2:] if "=" in word and "<" not in word}
        assert given <= keys
    if match := re.match(r"python -m (benchmarks\.\w+|jobs\.\w+)", code):
        assert (ROOT / f"{match[1].replace('.', '/')}.py").is_file()
    if re.match(r"make \w+$", code):
        assert f"\n{words[1]}:" in (ROOT / "Makefile").read_text()
    if _FILE.match(code):
        assert (ROOT / code).is_file()


@pytest.mark.parametrize(
    "line", ["kubectl apply -f deploy", "medembedd prepare", "before: base model, after: ours"]
)
def test_a_line_of_a_kind_that_nobody_thought_of_is_a_fault(line: str):
    with pytest.raises(Fault, match="no kind"):
        find_hand(line)
