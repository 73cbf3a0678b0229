"""Without judgments the teacher judges texts that are held out."""

from pathlib import Path

from medembed.distillation.agreement import METRIC, hold_out, judge
from medembed.encoding.config import EncodingConfig
from medembed.encoding.encoder import Encoder
from medembed.evaluation.sample import score_sample
from tests.tables import write_corpus, write_table
from tests.tiny import SIGNS, SUBJECTS, WIDTH

TEXTS = [f"{subject} {sign}" for subject in SUBJECTS for sign in SIGNS]


def test_each_text_that_asks_has_ten_right_ones_even_if_all_are_chunks_of_one_document(
    encoder_folder: Path, tmp_path: Path
):
    rows = []
    for number in range(160):
        text = f"{TEXTS[number % 60]}, and {TEXTS[(7 * number + number // 60) % 60]}"
        rows.append({"document_id": f"d#chunk-{number}", "text": text})
    dataset = write_corpus(tmp_path / "data", rows, 80)
    encoding = EncodingConfig(backend="torch")
    encoder = Encoder.load(str(encoder_folder), encoding)
    vectors = encoder.encode([row["text"] for row in rows])
    table = write_table(tmp_path / "table.lance", dataset, vectors)

    held = hold_out(dataset)
    assert len(held) == 32
    samples = judge(held, table, str(encoder_folder), encoding)
    for sample in samples:
        assert sample is not None
        assert len(sample.queries) == 8
        assert all(len(right) == 10 for right in sample.qrels.values())
        asked = encoder.encode([text for _, text in sample.queries], "query")
        searched = encoder.encode([text for _, text in sample.documents], "document")
        assert score_sample(sample, asked, searched, [WIDTH], METRIC)[WIDTH].min() == 1
