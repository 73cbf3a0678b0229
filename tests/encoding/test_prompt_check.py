"""Prompts that a folder lacks or that a training contradicts are one line each."""

import json
import logging
from pathlib import Path

import pytest

from medembed.encoding.model_files import CARD
from medembed.encoding.prompt_check import check_prompts, family_prompts, find_faults

E5 = {"query": "query: ", "document": "passage: "}
BOTH_KEYS = "training.prompts.query='query: ' training.prompts.document='passage: '"


def folder_of(
    tmp_path: Path, name: str, prompts: dict[str, str], model_type: str = "xlm-roberta"
) -> Path:
    """Write the settings that name a model and its prompts."""
    folder = tmp_path / name
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": model_type}))
    settings = json.dumps({"prompts": prompts})
    (folder / "config_sentence_transformers.json").write_text(settings)
    return folder


@pytest.mark.parametrize(
    ("reference", "config", "prompts"),
    [
        ("hf://intfloat/multilingual-e5-large", {"model_type": "xlm-roberta"}, E5),
        ("hf://intfloat/e5-base-v2@main", {"model_type": "bert"}, E5),
        ("models/E5_small/", {"model_type": "bert"}, E5),
        ("models/base", {"model_type": "bert", "_name_or_path": "intfloat/e5-small"}, E5),
        ("models/base", {"model_type": "bert"}, {}),
        ("models/e5/base", {"model_type": "bert"}, {}),  # a folder of trials, not a model's name
        ("models/mode5", {"model_type": "bert"}, {}),
        ("models/e5m2", {"model_type": "bert"}, {}),
        ("models/e5-like", {"model_type": "t5"}, {}),
        ("models/e5-small", {}, {}),
    ],
)
def test_e5_is_known_by_a_word_of_its_name_and_by_its_architecture(
    tmp_path: Path, reference: str, config: dict[str, str], prompts: dict[str, str]
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert family_prompts(reference, tmp_path) == prompts


def test_an_instructed_e5_wants_an_instruction_before_queries_alone(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "multilingual-e5-large-instruct", {})
    (line,) = find_faults(str(folder), folder, {})
    assert "training.prompts.query=$'Instruct: <the task in a sentence>\\nQuery: ' in" in line
    assert "training.prompts.document" not in line


@pytest.mark.parametrize(
    ("own", "wanted", "words"),
    [
        ({}, {}, f"lacks the prompts that E5 models were trained with. {{}} {BOTH_KEYS} in a"),
        ({"query": "query: "}, {}, "{} training.prompts.document='passage: ' in a"),
        ({"query": "query: ", "passage": "passage: "}, {}, None),
        ({}, E5, None),
        ({}, {"query": "", "document": ""}, None),  # somebody wants none
        (E5, E5, None),
        (E5, {"query": "question: "}, "is 'question: ', but its folder names 'query: '"),
        (E5, {"document": ""}, "is '', but its folder names 'passage: '"),
        ({}, E5 | {"query": "query:"}, "quotes keep the space: training.prompts.query='query: '."),
    ],
)
def test_a_line_says_what_is_missing_or_contradicts_and_the_keys_to_set(
    tmp_path: Path, own: dict[str, str], wanted: dict[str, str], words: str | None
) -> None:
    folder = folder_of(tmp_path, "multilingual-e5-small", own)
    lines = list(find_faults(str(folder), folder, wanted))
    assert len(lines) == (words is not None)
    unless = "Unless it was trained on without them, name them:"
    assert all((words or "").format(unless) in line for line in lines)


def test_a_model_trained_here_is_read_as_it_was_trained(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "our-e5", {})
    (folder / CARD).write_text(json.dumps({"dimensions": [64]}))
    assert list(find_faults(str(folder), folder, {})) == []


def test_a_job_that_looks_twice_warns_once(
    encoder_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    link = tmp_path / "tiny-e5"
    link.symlink_to(encoder_folder)
    with caplog.at_level(logging.WARNING):
        check_prompts(str(link))
        check_prompts(str(link))
    assert len(caplog.records) == 1
