from pathlib import Path

from medembed.data.first_sentence import Text, cut_first_sentence, make_first_sentences
from tests.tiny import SIGNS, SUBJECTS

CUTS = [  # sentences of a text; the first two are cut apart if both say something
    ("A tumour of the skin is found.", "It grows from cells and can spread far in the body."),
    (
        "Some drugs, e.g. aspirin, thin the blood!",
        "Élever la dose est dangereux pour des patients.",
    ),
    ("See Dr. Smith about the dose.", "12 mg a day are enough for most of the people."),
]
WHOLE = [
    "No second sentence is here, only a long first one that goes on and on.",
    "The rest of this text is too short. It ends.",
    "",
]


def test_a_text_is_cut_after_its_first_sentence_if_both_parts_say_something():
    assert [cut_first_sentence(" ".join(parts)) for parts in CUTS] == CUTS
    assert [cut_first_sentence(text) for text in WHOLE] == [None] * 3


def texts(count: int, start: int = 0) -> list[Text]:
    return [
        Text(
            f"d{n}",
            f"{SIGNS[n % 10].capitalize()} of the {SUBJECTS[n % 12]}, case {n}.\n The "
            f"{SUBJECTS[n % 12]} shows it, and {n} days later it is gone for good.",
            "en",
        )
        for n in range(start, start + count)
    ]


def test_each_text_asks_for_itself(tmp_path: Path):
    made = make_first_sentences(
        texts(130), str(tmp_path / "{key}"), "x", source="here", queries=110, documents=120
    )
    assert made is not None
    assert made.manifest.counts == {"documents": 120, "queries": 110, "judgments": 110}
    queries, corpus = made.queries("test").to_pylist(), made.corpus().to_pylist()
    assert queries[3]["text"] == f"{SIGNS[3].capitalize()} of the {SUBJECTS[3]}, case 3."
    assert corpus[3]["text"] == f"The {SUBJECTS[3]} shows it, and 3 days later it is gone for good."
    assert made.qrels() == {f"d{n}": {f"d{n}": 1.0} for n in range(110)}
    again = make_first_sentences(
        [], str(tmp_path / "{key}"), "x", source="here", queries=110, documents=120
    )
    assert again == made


def test_texts_that_say_the_same_are_no_two_questions(tmp_path: Path):
    twice = [*texts(120), *(text._replace(id=f"again-{text.id}") for text in texts(120))]
    made = make_first_sentences(twice, str(tmp_path / "{key}"), "x", source="here")
    assert made is not None
    assert made.manifest.counts["documents"] == 120


def test_of_too_few_texts_none_is_made(tmp_path: Path):
    assert make_first_sentences(texts(99), str(tmp_path / "{key}"), "x", source="here") is None
    assert not list(tmp_path.iterdir())
