"""What a row says in files that name each other by ids: questions, judgments, BEIR's."""

from dataclasses import replace

from medembed.data.row_values import key_at, keys_at, value_at
from medembed.data.rows import Judgment, Qrel, Record
from medembed.data.shapes import Row, by_similarity, read_number
from medembed.language import to_translate, tr


def question(row: Row) -> Record:
    """Return a query, and the ids by which it names documents of other rows."""
    ids = keys_at(row.fields, row.columns.document_id)
    judgments = tuple(
        by_similarity(row, name) if row.columns.score else Judgment(0, name) for name in ids
    )
    is_nameless = row.columns.document_id and not ids
    dropped = (to_translate("question without a document's id"),) if is_nameless else ()
    return Record((), (row.query(row.text("query")),), judgments, dropped=dropped)


def beir_document(row: Row) -> Record:
    """Return a row of corpus.jsonl."""
    document = row.document(row.source.join.join(row.texts("document")))
    if document.document_id is None:
        raise ValueError(tr("missing '_id'; BEIR's documents need one."))
    return Record((document,))


def beir_query(row: Row) -> Record:
    """Return a row of queries.jsonl; its split is that of the judgments that name it."""
    query = replace(row.query(row.text("query")), split=None)
    if query.query_id is None:
        raise ValueError(tr("missing '_id'; BEIR's queries need one."))
    return Record(queries=(query,))


def qrel(row: Row) -> Record:
    """Return a judgment by ids, as in qrels/*.tsv; 1 where there is no column of scores."""
    columns = row.columns
    query_id = key_at(row.fields, columns.query_id)
    document_id = key_at(row.fields, columns.document_id)
    if query_id is None or document_id is None:
        names = [*columns.query_id, *columns.document_id, *columns.score]
        raise ValueError(
            tr(
                "missing {query_id} or {document_id}; expected the columns {columns} and {last}.",
                query_id=names[0],
                document_id=names[1],
                columns=", ".join(names[:-1]),
                last=names[-1],
            )
        )
    score = 1.0
    for path in columns.score[:1]:
        score = read_number(value_at(row.fields, path), path)
    return Record(qrels=(Qrel(query_id, document_id, max(score, 0.0), row.split),))
