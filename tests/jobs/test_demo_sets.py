from pathlib import Path

from jobs.demo_sets import COMMENTS, PYTHON, make_demo_sets, read_comments, read_docstrings
from medembed.data.dataset import open_dataset


def test_both_sets_are_made_of_what_is_packaged_and_found_again(tmp_path: Path):
    places = make_demo_sets(str(tmp_path))
    assert list(places) == [COMMENTS, PYTHON]
    for place in places.values():
        made = open_dataset(place)
        assert made.manifest.counts == {"documents": 400, "queries": 300, "judgments": 300}
        assert max(len(text.split()) for text in made.corpus()["text"].to_pylist()) <= 45
    assert make_demo_sets(str(tmp_path)) == places


def test_comments_are_those_of_terms(tmp_path: Path):
    file = tmp_path / "x.obo"
    file.write_text(
        'format-version: 1.2\n\n[Term]\nid: X:1\ncomment: Said \\"so\\".\\nTwice.\n\n[Term]\nid: X:2\n\n'
        "[Typedef]\nid: part_of\ncomment: No term.\n"
    )
    assert list(read_comments(str(file))) == [("X:1", 'Said "so". Twice.', "en")]


def test_docstrings_come_in_one_order():
    first, second = read_docstrings(), read_docstrings()
    assert [next(first) for _ in range(20)] == [next(second) for _ in range(20)]
