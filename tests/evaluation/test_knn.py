"""kNN accuracy: who votes, who wins, and the same answer as scikit-learn's classifier."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from medembed.errors import ModelError
from medembed.evaluation.knn import classify, find_labelled, vote
from medembed.matryoshka import truncate
from medembed.search.ranking import Ranking
from tests.tables import write_corpus, write_table

LABELS = {
    "a": "cardiology",
    "b": "cardiology",
    "c": "oncology",
    "d": "oncology",
    "e": "urology",
    "f": "urology",
}


def rank(*rows: str) -> Ranking:
    """A ranking of one-letter documents; "-" is a place with nothing."""
    ids = np.array([[name.strip("-") for name in row] for row in rows])
    return Ranking.of(ids, np.where(ids == "", -np.inf, 0.5))


@pytest.mark.parametrize(
    ("own", "nearest", "neighbours", "right"),
    [
        ("a", "bcd", 2, True),  # a draw: the nearer wins
        ("a", "cbe", 2, False),
        ("a", "cbd", 3, False),  # two of three
        ("a", "abcd", 3, False),  # its own vote would have made it a draw that it wins
        ("a", "acb", 1, False),
        ("a", "cdab", 2, False),
        ("d", "ecfb", 4, False),  # urology has two
        ("d", "cefbd", 4, False),
        ("c", "defab", 5, False),  # urology and cardiology have two
        ("e", "abfcd", 3, False),
        ("f", "e--", 2, True),  # fewer voters than asked for
        ("f", "f--", 2, False),  # nobody votes
        ("f", "---", 2, False),
    ],
)
def test_the_class_of_most_of_the_nearest_wins_and_of_equal_ones_that_of_the_nearer(
    own: str, nearest: str, neighbours: int, right: bool
):
    assert vote(rank(nearest), [own], LABELS, neighbours).tolist() == [float(right)]


def test_a_chunk_is_not_classified_by_another_one_of_its_document():
    ranking = Ranking.of(np.array([["d7", "d8", "d9"]]), np.array([[0.9, 0.8, 0.7]], np.float32))
    labels = {"d7": "x", "d8": "y", "d9": "y"}
    assert vote(ranking, ["d7#chunk-2"], labels, 1).tolist() == [0.0]
    assert vote(ranking, ["d8#chunk-0"], labels | {"d7": "y"}, 1).tolist() == [1.0]


def row(
    name: str, label: str | None, split: str | None, language: str = "en"
) -> dict[str, str | None]:
    return {"document_id": name, "label": label, "split": split, "language": language}


SPLIT = [
    row("z", "x", "test", "fr"),
    row("y", "y", "train"),
    row("w", "x", "test"),
    row("v", "y", "dev"),
    row("u", None, "test"),
    row("t#chunk-0", "x", None),
    row("t#chunk-1", "x", None),
]
ALL = ["z", "y", "w", "v", "t#chunk-0", "t#chunk-1"]


@pytest.mark.parametrize(
    ("split", "ids", "voters"),
    [
        ("test", ("w", "z"), ["y"]),
        ("dev", ("v",), ["y"]),
        ("train", ("y",), ALL),
        (None, ("t#chunk-0", "t#chunk-1", "v", "w", "y", "z"), ALL),
    ],
)
def test_labelled_texts_of_a_split_are_asked_by_id_and_those_of_train_vote(
    tmp_path: Path, split: str | None, ids: tuple[str, ...], voters: list[str]
):
    labelled = find_labelled(write_corpus(tmp_path, SPLIT, 3), split)
    assert labelled is not None
    assert (labelled.ids, labelled.voters.to_pylist()) == (ids, voters)
    assert labelled.labels == {"z": "x", "y": "y", "w": "x", "v": "y", "t": "x"}
    assert labelled.languages == tuple("fr" if name == "z" else "en" for name in ids)


def test_without_labelled_texts_of_train_all_others_vote(tmp_path: Path):
    rows = [row("a", "x", "test"), row("b", "y", "dev"), row("c", None, "train")]
    labelled = find_labelled(write_corpus(tmp_path, rows, 3), "test")
    assert labelled is not None
    assert (labelled.ids, labelled.labels, labelled.voters.to_pylist()) == (
        ("a",),
        {"a": "x", "b": "y"},
        ["a", "b"],
    )


@pytest.mark.parametrize("label", [None, "x"])
def test_a_split_without_a_labelled_text_has_nothing_to_ask(tmp_path: Path, label: str | None):
    dataset = write_corpus(
        tmp_path, [row("a", None, "test"), row("b", label, "train"), row("c", label, None)], 2
    )
    assert find_labelled(dataset, "test") is None


@pytest.mark.ray
@pytest.mark.usefixtures("ray_local", "no_actors")
def test_accuracy_is_that_of_scikit_learn_on_the_same_truncated_vectors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Two classes and five neighbours: no vote is a draw, which scikit-learn settles by the
    classes' names.
    """
    monkeypatch.setattr("medembed.evaluation.knn._TEXTS_PER_PASS", 70)
    generator = np.random.default_rng(5)
    labels = generator.integers(0, 2, 240)
    vectors = truncate(
        (generator.normal(size=(240, 12)) + 0.8 * labels[:, None]).astype(np.float32), 12
    )
    splits = generator.choice(["train", "dev", "test"], 240, p=[0.5, 0.1, 0.4])
    rows = [
        row(f"d{n:03}", f"class-{labels[n]}" if n % 20 else None, splits[n]) for n in range(240)
    ]
    dataset = write_corpus(tmp_path / "data", rows, 50)
    table = write_table(tmp_path / "t.lance", dataset, vectors)
    asked = find_labelled(dataset, "test")
    assert asked is not None
    measured = classify(table, asked, [12, 3], 5, 2)

    has_label = np.arange(240) % 20 > 0
    train, test = (np.flatnonzero(has_label & (splits == name)) for name in ("train", "test"))
    assert len(test) > 70
    for dimension in (12, 3):
        here = truncate(vectors, dimension)
        judge = KNeighborsClassifier(5, metric="cosine", algorithm="brute").fit(
            here[train], labels[train]
        )
        expected = judge.predict(here[test]) == labels[test]
        assert 0.5 < expected.mean() < 1
        assert (
            measured.values[dimension]["knn_accuracy"].tolist() == expected.astype(float).tolist()
        )
        assert measured.means()[dimension]["knn_accuracy"] == pytest.approx(
            judge.score(here[test], labels[test])
        )
    assert measured.units.ids == measured.units.groups == tuple(f"d{n:03}" for n in test)
    with pytest.raises(ModelError, match="from 1 to 12"):
        classify(table, asked, [24], 5, 2)


@pytest.mark.ray
@pytest.mark.usefixtures("ray_local", "no_actors")
def test_chunks_are_left_out_as_a_document_where_all_others_vote(tmp_path: Path):
    """Of each document two chunks with one vector: left in, every chunk would name its own
    class.
    """
    generator = np.random.default_rng(6)
    labels = generator.integers(0, 2, 40)
    whole = truncate((generator.normal(size=(40, 6)) + 0.5 * labels[:, None]).astype(np.float32), 6)
    rows = [
        row(f"d{n:02}#chunk-{part}", f"class-{labels[n]}", "test")
        for part in (0, 1)
        for n in range(40)
    ]
    dataset = write_corpus(tmp_path / "data", rows, 30)
    table = write_table(tmp_path / "t.lance", dataset, np.concatenate([whole, whole]))
    asked = find_labelled(dataset, "test")
    assert asked is not None
    measured = classify(table, asked, [6], 1, 1)
    judge = KNeighborsClassifier(1, metric="cosine", algorithm="brute").fit(whole, labels)
    # without X, scikit-learn leaves each text itself out
    expected = labels[judge.kneighbors()[1][:, 0]] == labels
    assert 0.3 < expected.mean() < 1
    assert (
        measured.values[6]["knn_accuracy"].tolist() == np.repeat(expected, 2).astype(float).tolist()
    )
    assert measured.units.groups == tuple(f"d{n:02}" for n in range(40) for _ in range(2))
