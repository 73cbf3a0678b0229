from medembed.lineage import Source
from medembed.tags import Lineage, move

FULL = Lineage(
    job="retrain",
    encoder="e1",
    dataset=Source("d1", "s3://a/data"),
    examples=Source("x1", "s3://a/examples"),
    parent=Source("e0"),
    teacher=Source("t0"),
    table=Source("e1", "s3://a/table.lance", 7),
    output="s3://a",
    increments="2",
)


def test_a_lineage_is_read_from_its_tags_as_it_was_written_and_nothing_unknown_is_said():
    assert Lineage.from_tags(FULL.to_tags() | {"mlflow.user": "x"}) == FULL
    assert FULL.to_tags()["table_version"] == "7"
    assert (Lineage().to_tags(), Lineage.from_tags({})) == ({}, Lineage())
    assert Lineage.from_tags({"dataset_uri": "s3://a"}).data == ["s3://a"]


def test_tags_of_a_copy_name_the_new_places_and_no_old_one():
    tags = move(FULL.to_tags() | {"note": "mine"}, {"dataset": "/out/data", "table": "/out/table"})
    moved = Lineage.from_tags(tags)
    assert (moved.dataset, moved.table) == (
        Source("d1", "/out/data"),
        Source("e1", "/out/table", 7),
    )
    assert (moved.examples, moved.output) == (Source("x1"), None), (
        "known by its fingerprint; the old place is not ours"
    )
    assert (tags["note"], moved.encoder, moved.increments) == ("mine", "e1", "2")
    assert "s3://a" not in "".join(tags.values())
