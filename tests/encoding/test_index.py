"""Check what a table's vector index finds, also when the table has changed since."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from medembed.encoding.codec import Codec
from medembed.encoding.commit import commit_table, tag_version, write_fragment
from medembed.encoding.index import (
    IndexKind,
    OpenIndex,
    build_index,
    check_index,
    find_index,
    measure_recall,
)
from medembed.encoding.lance_dataset import open_lance
from medembed.encoding.maintain import compact, list_versions, rollback
from medembed.encoding.open_table import open_table
from medembed.encoding.table import Table
from medembed.errors import ConfigError, MedEmbedError, StorageError
from medembed.matryoshka import truncate
from medembed.search.corpus import top_k
from tests.tables import rows_at, write_corpus, write_table

Vectors = npt.NDArray[np.float32]
NAMES = [f"d{number:03d}" for number in range(600)]


def draw(count: int, width: int = 16, seed: int = 0) -> Vectors:
    return truncate(
        np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32), width
    )


VECTORS, QUERIES = draw(len(NAMES)), draw(5, seed=1)
ALL = 1000  # probes: more partitions than there are, so that the index misses nothing


def make(root: Path, vectors: Vectors = VECTORS) -> Table:
    corpus = [{"document_id": name} for name in NAMES[: len(vectors)]]
    return write_table(root / "t.lance", write_corpus(root / "data", corpus, 200), vectors)


def nearest(table: Table, k: int = 8) -> list[list[str]]:
    return [names for names, _ in OpenIndex(table, ALL, refine=50)(QUERIES, k)]


def exact(vectors: dict[str, Vectors], k: int = 8) -> list[list[str]]:
    names: list[list[str]] = top_k(
        QUERIES, [*vectors], np.stack([*vectors.values()]), k
    ).ids.tolist()
    return names


def change(table: Table, dead: list[int], new: dict[str, Vectors]) -> Table:
    """Commit a version without the rows at these places and with new ones, as an encoding does."""
    rows = pa.table({"document_id": [*new], "content_hash": [*new]})
    fragment = write_fragment(table.uri, rows, Codec(16).write(np.stack([*new.values()])))
    return commit_table(table.uri, [fragment], table.info, base=table, dead=rows_at(table, dead))


def recode(table: Table, values: pa.DataType) -> Table:
    """Return the table with its vectors as another type of number."""
    import lance

    rows = open_lance(table.uri).to_table()
    codes = (rows["embedding"].combine_chunks().flatten().to_numpy() * 100).astype(
        values.to_pandas_dtype()
    )
    column = pa.FixedSizeListArray.from_arrays(pa.array(codes, values), table.info.width)
    lance.write_dataset(rows.set_column(2, "embedding", column), table.uri, mode="overwrite")
    return open_table(table.uri)


@pytest.mark.parametrize("kind", ["IVF_RQ", "IVF_SQ", "IVF_FLAT", "IVF_HNSW_SQ"])
def test_an_index_gives_exact_searchs_rows_and_cosines_where_it_looks_everywhere(
    tmp_path: Path, kind: IndexKind
):
    table = build_index(make(tmp_path), kind, partitions=1 if "HNSW" in kind else 6)
    hits = OpenIndex(table, ALL, refine=50)(QUERIES, 8)
    wanted = top_k(QUERIES, NAMES, VECTORS, 8)
    assert [names for names, _ in hits] == wanted.ids.tolist()
    assert np.allclose([scores for _, scores in hits], wanted.scores, atol=1e-6)
    index = check_index(table)
    assert (index.kind, index.rows) == (kind, len(NAMES))
    assert index.size_bytes > 1000


def test_rows_deleted_after_the_index_was_built_are_never_found_and_new_ones_are(tmp_path: Path):
    built = build_index(make(tmp_path), partitions=6)
    best = [NAMES.index(names[0]) for names in nearest(built)]
    new = {"n0": QUERIES[0], "n1": -QUERIES[1]}
    changed = change(built, best, new)
    left = {
        name: vector
        for name, vector in zip(NAMES, VECTORS, strict=True)
        if NAMES.index(name) not in best
    } | new
    assert nearest(changed) == exact(left)
    assert nearest(changed)[0][0] == "n0"
    assert check_index(changed).rows == len(left) - 2
    # a version stays what it was
    assert nearest(built) == exact(dict(zip(NAMES, VECTORS, strict=True)))

    compacted, _ = compact(changed.uri, keep_days=0)
    assert nearest(compacted) == exact(left)
    assert check_index(compacted).rows == len(left) - 2
    again = build_index(compacted)
    assert nearest(again) == exact(left)
    assert check_index(again).rows == len(left)


def test_a_rollback_brings_back_the_index_of_that_version_and_one_that_has_none_says_so(
    tmp_path: Path,
):
    plain = make(tmp_path)
    built = build_index(plain, partitions=6)
    changed = change(built, [0, 1], {"n0": QUERIES[0]})
    assert find_index(rollback(plain.uri, plain.version)) is None
    back = rollback(plain.uri, built.version)
    assert find_index(back) == find_index(built)
    assert nearest(back) == exact(dict(zip(NAMES, VECTORS, strict=True)))
    forward = change(rollback(plain.uri, changed.version), [2], {"n1": QUERIES[1]})
    assert [names[0] for names in nearest(forward)[:2]] == ["n0", "n1"]
    with pytest.raises(
        StorageError,
        match=r"version 8: no vector index; .* build one by: medembed table index table=",
    ):
        OpenIndex(rollback(plain.uri, plain.version))


def test_the_log_says_which_versions_have_an_index_and_the_tag_goes_with_it(tmp_path: Path):
    table = make(tmp_path)
    tag_version(table)
    changed = change(build_index(table), [5], {"n0": QUERIES[0]})
    listed = list_versions(changed.uri)
    assert [each.index and (each.index.kind, each.index.rows, each.rows) for each in listed] == [
        None,
        ("IVF_RQ", 600, 600),
        ("IVF_RQ", 599, 600),
    ]
    assert [each.tags for each in listed] == [(), ("by-hand.by-hand",), ()]
    compacted, _ = compact(changed.uri, keep_days=30)
    assert list_versions(changed.uri)[-1].tags == ("by-hand.by-hand",)
    assert compacted.version == list_versions(changed.uri)[-1].version


def test_measured_recall_is_the_share_of_the_nearest_rows_that_the_index_finds(tmp_path: Path):
    table = build_index(make(tmp_path, draw(600, width=64)), partitions=60)
    rows = np.linspace(0, 599, 7).astype(int)
    own = draw(600, width=64)
    wanted = top_k(own[rows], NAMES, own, 20).ids.tolist()
    hits = OpenIndex(table)(own[rows], 20)
    shares = [len({*ids} & {*best}) / 20 for (ids, _), best in zip(hits, wanted, strict=True)]
    by_hand = np.mean(shares)
    assert measure_recall(table, k=20, sample=7) == pytest.approx(by_hand)
    assert 0 < by_hand < 1
    assert measure_recall(build_index(table, "IVF_FLAT", partitions=1), k=20) == 1


def test_an_index_gives_all_rows_if_fewer_are_there_than_asked_for_whatever_its_probes(
    tmp_path: Path,
):
    table = build_index(make(tmp_path), partitions=20)
    for probes in (None, 1):
        assert [len(names) for names, _ in OpenIndex(table, probes)(QUERIES, 700)] == [600] * 5
    assert OpenIndex(table)(QUERIES[:0], 3) == []


def test_half_precision_is_indexed_and_codes_are_refused(tmp_path: Path):
    table = build_index(recode(make(tmp_path), pa.float16()), partitions=6)
    assert [names[0] for names in nearest(table)] == [
        names[0] for names in exact(dict(zip(NAMES, VECTORS, strict=True)))
    ]
    with pytest.raises(
        ConfigError, match=r"needs float32 or float16 vectors, found int8; encode into"
    ):
        build_index(recode(table, pa.int8()))
    with pytest.raises(ConfigError, match="vectors, found binary; encode into"):
        build_index(recode(table, pa.uint8()))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            lambda root: build_index(make(root, draw(30, width=12))),
            "divisible by 8, found 12; choose kind=IVF_SQ",
        ),
        (
            lambda root: build_index(make(root, draw(30)), partitions=31),
            "found 31, expected at most the table's 30",
        ),
        (lambda root: build_index(make(root, draw(0))), "the embedding table is empty"),
        (lambda root: OpenIndex(make(root)), "no vector index"),
    ],
)
def test_what_cannot_be_indexed_or_has_no_index_is_refused(
    tmp_path: Path, build: Callable[[Path], object], message: str
):
    with pytest.raises(MedEmbedError, match=message):
        build(tmp_path)


def test_an_index_over_what_was_rolled_back_meanwhile_is_refused(tmp_path: Path):
    first = make(tmp_path)
    second = change(first, [0], {"n0": QUERIES[0]})
    back = rollback(first.uri, first.version)
    with pytest.raises(
        StorageError, match="another run has changed the table since version 2; run again"
    ):
        build_index(second)
    assert open_table(first.uri) == back
