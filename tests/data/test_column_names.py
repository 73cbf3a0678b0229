"""What a message says of columns that may be data."""

import pytest

from medembed.data.config import SourceConfig
from medembed.data.mapping import find_mapping
from medembed.data.own_texts import TextColumns, find_columns
from medembed.data.reading import ColumnsConfig
from medembed.errors import DataError


@pytest.mark.parametrize(
    "value",
    ["Anna Muster", "1956-03-02", "17", "", "x" * 41, "line\nbreak", "\ud800", "P004711", "né?"],
)
def test_a_row_with_a_value_that_is_no_name_is_not_shown(value: str):
    """As where a table without a header was converted to Parquet."""
    with pytest.raises(DataError, match=r"^p: columns score \(and 2 more\) fit no shape"):
        find_mapping(["Muster", value, "score"], SourceConfig(path="p"))
    with pytest.raises(DataError, match=r"^p: no column for the id .* found score \(and 2 more\)"):
        find_columns(["Muster", value, "score"], TextColumns(), "p")


def test_of_a_tables_first_row_known_names_alone_are_shown_and_what_is_near_a_declared_one():
    with pytest.raises(DataError) as caught:
        find_mapping(["Muster", "HIV"], SourceConfig(path="p"), is_header=True)
    assert str(caught.value) == (
        "p: the first row has 2 cells, none of them a known name; is there a header? If not, "
        "source.header=false and columns by number, e.g. source.columns.query=1 "
        "source.columns.document=2. If there is, it must be the first row; name yours, e.g. "
        "source.columns.query=your_column."
    )
    with pytest.raises(DataError, match=r"^p: columns Question, neg_2 \(and 1 more\) fit no shape"):
        find_mapping(["Question", "Muster", "neg_2"], SourceConfig(path="p"), is_header=True)
    columns = ColumnsConfig(group="patientid")
    with pytest.raises(
        DataError, match=r"no such column, but question, patient_id \(and 1 more\)\.$"
    ):
        find_mapping(
            ["question", "Muster", "patient_id"],
            SourceConfig(path="p", columns=columns),
            is_header=True,
        )
