from pathlib import Path

from medembed.data.lengths import LengthSample, percentiles


def test_lengths_are_counted_in_words_or_in_the_tokens_of_a_model(encoder_folder: Path):
    sample = LengthSample(None, 1)
    sample.add("heart pain 12")
    assert sample.lengths == [3]
    sample = LengthSample((encoder_folder / "tokenizer.json").read_text(), 1)
    sample.add("heart pain 12")
    assert sample.lengths == [6], "[CLS] heart pain 1 ##2 [SEP]"


def test_a_text_longer_than_the_model_reads_is_counted_whole(encoder_folder: Path):
    sample = LengthSample((encoder_folder / "tokenizer.json").read_text(), 1)
    sample.add("heart " * 500)
    assert sample.lengths == [502]


def test_only_every_nth_text_is_measured():
    sample = LengthSample(None, 3)
    for number in range(1, 8):
        sample.add("word " * number)
    assert sample.lengths == [1, 4, 7]


def test_percentiles_are_lengths_that_occur():
    assert percentiles(range(1, 101)) == {50: 50, 90: 90, 95: 95, 99: 99, 100: 100}
    assert percentiles([]) == {}
