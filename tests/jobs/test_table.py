"""`medembed table` prints and keeps the log and the index."""

import re
from pathlib import Path

import numpy as np
import pyarrow as pa

from jobs.table import TableJob, run
from medembed.config import load_config
from medembed.encoding.codec import Codec
from medembed.encoding.commit import commit_table, write_fragment
from medembed.encoding.open_table import open_table
from medembed.matryoshka import truncate
from tests.tables import rows_at, write_corpus, write_table


def test_an_index_is_built_measured_and_listed_with_the_rows_that_it_lacks(tmp_path: Path):
    vectors = truncate(np.random.default_rng(0).normal(size=(300, 16)).astype(np.float32), 16)
    dataset = write_corpus(
        tmp_path / "data", [{"document_id": f"d{number}"} for number in range(300)], 100
    )
    table = write_table(tmp_path / "t.lance", dataset, vectors)
    built = run(
        load_config(
            TableJob, ["action=index", f"table={table.uri}", "kind=IVF_FLAT", "partitions=1"]
        )
    )
    assert built["table"]["version"] == 2
    assert (built["index"]["kind"], built["index"]["rows"], built["recall@10"]) == (
        "IVF_FLAT",
        300,
        1,
    )
    pattern = r"version 2: IVF_FLAT over 300 rows in \d+\.\d s, \d+\.\d MiB; recall@10 100\.0% for up to 100 rows"
    assert re.match(pattern, built["lines"][0])

    rows = pa.table({"document_id": ["n0", "n1"], "content_hash": ["n0", "n1"]})
    indexed = open_table(table.uri)
    new = write_fragment(table.uri, rows, Codec(16).write(vectors[:2]))
    commit_table(table.uri, [new], table.info, base=indexed, dead=rows_at(indexed, [7]))
    logged = run(load_config(TableJob, ["action=log", f"table={table.uri}"]))
    assert [one["index"] and one["index"]["rows"] for one in logged["versions"]] == [None, 300, 299]
    assert "  none" in logged["lines"][1]
    assert logged["lines"][2].endswith("  IVF_FLAT                 by-hand.by-hand")
    assert logged["lines"][3].endswith("  IVF_FLAT, 2 rows not in it")
