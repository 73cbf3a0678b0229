from medembed.schema import fingerprint, normalize_text


def test_a_fingerprint_ignores_the_order_of_keys_and_nothing_else():
    assert fingerprint({"a": 1, "b": [1, 2]}) == fingerprint({"b": [1, 2], "a": 1})
    assert fingerprint({"a": 1, "b": [1, 2]}) != fingerprint({"a": 1, "b": [2, 1]})


def test_normalised_texts_are_equal_across_case_punctuation_width_and_keep_accents():
    assert normalize_text("Œdème  aigu, du POUMON!") == normalize_text("œdème aigu du poumon")
    assert normalize_text("ﬁbrose") == normalize_text("fibrose")
    assert normalize_text("côté") != normalize_text("cote")
