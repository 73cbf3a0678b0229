"""Finds the newer texts where a data set grows."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from medembed.data.duplicates import Flags, Ints, encode
from medembed.data.formats.format import Part
from medembed.language import to_translate

# rules by which manifests count the texts that a newer one replaced
EDITED = {
    "documents": to_translate("document text edited"),
    "queries": to_translate("query text edited"),
}


def find_standing(rows: pa.Table, generation: Ints) -> Flags:
    """Return [R] whether no later generation gives the id of a staged row another text.

    Rows of one generation that contradict each other all stand: that is an error, for others to
    find.
    """
    number, _ = encode(rows["id"])
    content, _ = encode(rows["content"])
    # the first row of the last generation comes last
    order = np.lexsort((-np.arange(len(number)), generation))
    newest = np.zeros(int(number.max(initial=-1)) + 1, dtype=np.int64)
    newest[number[order]] = order
    latest = newest[number]
    return np.asarray((generation == generation[latest]) | (content == content[latest]))


def with_rows_left_out(lines: pa.Table, stands: Flags) -> pa.Table:
    """Return lines of the rows that stand [n] as lines of all rows [R]; the others are not kept."""
    among_standing = np.cumsum(stands) - 1
    wide = lines.take(pa.array(np.maximum(among_standing, 0), mask=~stands))
    kept = pa.array(np.asarray(wide["keep"].fill_null(False)))
    return wide.set_column(wide.column_names.index("keep"), "keep", kept)


def generations(old: Sequence[Part], new: Sequence[Part]) -> Ints:
    """Return the generation of each part: 0 for old ones, then a number for each file, in order."""
    files = {
        uri: number for number, uri in enumerate(dict.fromkeys(part.uri for part in new), start=1)
    }
    return np.array([0] * len(old) + [files[part.uri] for part in new], dtype=np.int64)
