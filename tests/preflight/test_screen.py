from dataclasses import replace

import pytest

from medembed.data.dataset import Dataset
from medembed.data.grouping import HELD
from medembed.encoding.config import EncodingConfig
from medembed.evaluation.retention.sets import RetentionSet
from medembed.preflight.advice import advise
from medembed.preflight.config import PreflightConfig
from medembed.preflight.estimate import MeanInterval
from medembed.preflight.facts import DataFacts
from medembed.preflight.plan import Cut, EncodePlan, TrainPlan
from medembed.preflight.preflight import Preflight, SampleFacts
from medembed.preflight.quality import ALL, Kept, RecallCell, Survey
from medembed.preflight.resources import Resources
from medembed.preflight.screen import format_screen
from medembed.preflight.verdict import decide
from medembed.training.config import TrainingConfig

GIB = 2**30
RECALL = MeanInterval(0.516, 0.42, 0.61)
SURVEY = Survey(
    (
        RecallCell(ALL, 384, 300, 225, RECALL, RECALL),
        RecallCell(
            "fr -> en",
            384,
            87,
            70,
            MeanInterval(0.459, 0.36, 0.57),
            MeanInterval(0.459, 0.31, 0.62),
        ),
        RecallCell(
            "en -> en",
            384,
            213,
            155,
            MeanInterval(0.544, 0.46, 0.62),
            MeanInterval(0.544, 0.43, 0.65),
        ),
        RecallCell(
            ALL, 64, 300, 225, MeanInterval(0.401, 0.33, 0.47), MeanInterval(0.401, 0.30, 0.51)
        ),
        RecallCell(
            "fr -> en", 64, 87, 70, MeanInterval(0.210, 0.12, 0.32), MeanInterval(0.210, 0.09, 0.39)
        ),
        RecallCell(
            "en -> en",
            64,
            213,
            155,
            MeanInterval(0.480, 0.40, 0.56),
            MeanInterval(0.480, 0.37, 0.59),
        ),
    ),
    0.355,
    (Kept(64, MeanInterval(0.777, 0.70, 0.86)),),
    {"tag lay": 14, "others": 31},
)
FOUND = Preflight(
    verdict=decide(27_570, SURVEY, "dev"),
    data=DataFacts(
        queries={"train": 27_570, "dev": 3_593, "test": 640},
        without_positive=0,
        pairs=27_570,
        weak_pairs=0,
        examples=27_570,
        largest_group=20,
        dropped={"obsolete term": 450},
    ),
    sample=SampleFacts("dev", 300, 225, False, 2_000, 1_775, 16_449, 16_449, 0),
    own_length=256,
    typical_length=200,
    width=384,
    survey=SURVEY,
    cuts=(Cut(128, 0.013, 0.021), Cut(256, 0.001, 0.006), Cut(512, 0, 0)),
    encode=EncodePlan(2, 1, 0, 212.4, 8_012, 155.0, GIB, 0),
    train=TrainPlan(1, 2, 0, 64, 1, 127, 27_570, 430, 4.2, 1_806.0, 3 * GIB, 0),
    resources=Resources(4, 0, 16 * GIB),
)


SET = RetentionSet("elsewhere", Dataset("elsewhere", {}), "test")


def warnings(
    found: Preflight, encoding: EncodingConfig | None = None, training: TrainingConfig | None = None
) -> list[str]:
    return advise(
        found, PreflightConfig(), encoding or EncodingConfig(), training or TrainingConfig(), [SET]
    )


def screen(found: Preflight) -> str:
    return "\n".join(format_screen(found, warnings(found)))


def test_steps_of_a_loss_that_does_not_rank_are_said_not_to_be_timed():
    untimed = replace(
        FOUND, train=replace(FOUND.train, loss="triplet", seconds_per_step=None, seconds=None)
    )
    assert "not timed: loss triplet is not a ranking loss" in screen(untimed)
    assert "negatives per query" not in screen(untimed)
    assert warnings(untimed) == []


def test_a_sound_data_set_gives_no_warning():
    assert warnings(FOUND) == []
    assert screen(FOUND).endswith("nothing to warn of")


@pytest.mark.parametrize(
    ("changes", "start"),
    [
        ({"data.queries": {"train": 900, "dev": 90, "test": 99}}, "99 test queries"),
        ({"sample.are_weak": True}, "All dev queries were made from titles"),
        ({"data.weak_pairs": 20_000}, "20,000 of 27,570 training pairs (73%)"),
        ({"data.largest_group": 15_902}, "One group holds 50% of the queries (15,902)"),
        (
            {"data.dropped": {"query without a positive": 4_000}},
            "4,000 queries were left out, beside 31,803 kept",
        ),
        ({"data.dropped": {"document repeated": 4_000}}, "4,000 rows repeated others (8%)"),
        ({"cuts": (Cut(256, 0.3, 0.12),)}, "12% of the text lies past the model's 256 tokens"),
        ({"sample.drawn": 100}, "One sampled document stands for 144"),
        ({"train.steps": 0, "train.examples": 40}, "40 examples do not fill one batch of 64"),
        (
            {"train.seconds_per_step": None, "train.seconds": None},
            "A batch of 64 does not fit in memory",
        ),
        ({"typical_length": 60}, "95% of the texts have at most 60 tokens"),
        ({"width": 256}, "The model has 256 dimensions, and training would refuse [384]"),
        ({"resources.cpus": 1}, "encoding.workers: 2 asked for, Ray has room for 1"),
        (
            {"train.memory_bytes": 17 * GIB},
            "training: 1 x 17.0 GiB for its workers do not fit in Ray's 16.0 GiB",
        ),
    ],
)
def test_what_is_wrong_gives_a_sentence_with_its_number(changes: dict[str, object], start: str):
    found = FOUND
    for key, value in changes.items():
        part, _, name = key.partition(".")
        found = replace(
            found, **{part: replace(getattr(found, part), **{name: value}) if name else value}
        )
    assert warnings(found)[0].startswith(start)


def test_texts_with_classes_alone_are_named_as_what_they_are():
    data = replace(
        FOUND.data, queries={"train": 0, "dev": 0, "test": 0}, pairs=0, examples=0, largest_group=0
    )
    sample = replace(FOUND.sample, queries=0, groups=0, labelled_rows=16_449)
    train = replace(FOUND.train, examples=0, steps=0, seconds=None, seconds_per_step=None)
    found = replace(
        FOUND, data=data, sample=sample, survey=None, train=train, verdict=decide(0, None, "dev")
    )
    assert warnings(found) == [
        "16,449 texts have a class and no query asks for any: "
        "training and measuring need pairs of query and document; add some."
    ]
    text = screen(found)
    assert text.startswith("DO NOT fine-tune")
    assert "not measured: no dev query has a positive document" in text
    assert "not timed: no training pair" in text


def test_the_screen_is_one_screen_and_says_what_was_found():
    found = replace(
        FOUND,
        sample=replace(FOUND.sample, are_weak=True),
        width=256,
        resources=Resources(1, 0, GIB),
    )
    text = screen(found)
    assert len(text.splitlines()) <= 40
    assert max(map(len, text.splitlines())) <= 100
    assert text.splitlines()[0] == "FINE-TUNE: it is worth it."
    for part in (
        "recall@10 0.516 (95%: 0.42 to 0.61), NDCG@10 0.355",
        "300 weak dev queries in 225 groups, estimated from 2,000 of 16,449 documents",
        "The worst of 6 cells (dimension x slice) is fr -> en at 64 dimensions: 0.21 in 87 queries",
        "64 dimensions keep 78% of the full width's recall (70% to 86%)",
        "            recall@10 (queries)               384     64\n"
        "            all queries (300)               0.516  0.401\n"
        "            fr -> en (87)                   0.459  0.210\n"
        "            en -> en (213)                  0.544  0.480\n"
        "            not judged, as under 30 groups (queries): tag lay (14), others (31)\n",
        "128        1.3%          2.1%",
        "2 min 35 s for the corpus, before and after training, at 212 texts/s or 8,012 tokens/s",
        "2 workers with 1 CPU; at the peak 1.0 GiB of memory each",
        "30 min 6 s for 27,570 examples in 430 steps of 4.2 s",
        "127 negatives per query: batch 64 x 1 worker, 1 mined for each",
        "450 obsolete term",
    ):
        assert part in text
    assert text.splitlines()[-1].startswith("  ") or text.splitlines()[-1].startswith("! ")


def test_of_many_slices_the_worst_are_shown_and_the_rest_counted():
    names = [f"tag {letter}" for letter in "abcdefghijkl"]
    cells = [SURVEY.cells[0]]
    for number, name in enumerate(names):
        level = 0.9 - number / 20
        cells.append(
            RecallCell(name, 384, 40, 40, MeanInterval(level, 0, 1), MeanInterval(level, 0, level))
        )
    text = screen(replace(FOUND, survey=Survey(tuple(cells), 0.3, (), dict.fromkeys(names, 12))))
    lines = [line.split() for line in text.splitlines()]
    assert [line[1] for line in lines if line[:1] == ["tag"]] == ["l", "k", "j", "i"]
    assert "and 8 slices that did better: summary.json has them" in text
    assert "tag a (12), tag b (12), tag c (12), tag d (12) and 8 more" in " ".join(text.split())


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.2, "under 1 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (3_725, "1 h 2 min")],
)
def test_durations_have_two_units(seconds: float, shown: str):
    found = replace(FOUND, encode=replace(FOUND.encode, seconds=seconds))
    assert f"encode      {shown} for the corpus" in screen(found)


def test_a_job_without_a_retention_set_is_warned_that_a_loss_would_go_unseen():
    told = advise(FOUND, PreflightConfig(), EncodingConfig(), TrainingConfig(), [])
    assert [line for line in told if line.startswith("No retention set is given")]
    assert not [line for line in warnings(FOUND) if "retention" in line]


def test_a_set_that_the_model_cannot_read_is_a_warning():
    told = advise(
        FOUND,
        PreflightConfig(),
        EncodingConfig(),
        TrainingConfig(),
        [SET, replace(SET, unread="cannot read 9 of 10")],
    )
    assert told[-1:] == ["cannot read 9 of 10"]


def test_queries_that_are_held_back_on_purpose_are_no_loss_to_warn_of():
    dropped = {f"held out: query, {HELD}": 9_000}
    assert warnings(replace(FOUND, data=replace(FOUND.data, dropped=dropped))) == []
    lost = {"held out: query, for another reason": 9_000}
    assert warnings(replace(FOUND, data=replace(FOUND.data, dropped=lost))) != []
