"""Real but tiny encoders, and synthetic pairs with something to learn, made in a second."""

import json
import random
import string
from pathlib import Path

WIDTH = 32
SUBJECTS = ["heart", "kidney", "liver", "lung", "skin", "bone"]
SUBJECTS += ["eye", "ear", "nose", "hand", "foot", "brain"]
SIGNS = ["pain", "swelling", "bleeding", "weakness", "rash"]
SIGNS += ["stiffness", "tremor", "numbness", "itching", "burning"]


def make_encoder(folder: Path, *, prompts: dict[str, str] | None = None) -> Path:
    """Save a 2-layer random BERT with a character-level WordPiece vocabulary."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    torch.manual_seed(0)
    letters = [*string.ascii_lowercase, *"0123456789éè.,'?-#"]
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *SUBJECTS, *SIGNS, *letters]
    words += [f"##{letter}" for letter in letters]
    raw = folder.with_name(folder.name + "-bert")
    raw.mkdir(parents=True)
    tokenizer = BertTokenizerFast(
        vocab={word: number for number, word in enumerate(words)}, do_lower_case=True
    )
    assert tokenizer.tokenize("heart pain 12") == ["heart", "pain", "1", "##2"]
    tokenizer.save_pretrained(raw)
    shape = BertConfig(
        vocab_size=len(words),
        hidden_size=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    BertModel(shape).save_pretrained(raw)
    return _save_encoder(folder, raw, prompts)


def write_pairs(path: Path, count: int = 240, seed: int = 0) -> Path:
    """Write JSONL pairs of a question and a sentence that has its words; several questions share a
    document.
    """
    generator = random.Random(seed)
    rows = []
    for number in range(count):
        subject = SUBJECTS[number % len(SUBJECTS)]
        sign = SIGNS[number // len(SUBJECTS) % len(SIGNS)]
        document = f"{sign.capitalize()} that affects the {subject}, grade {number // 2 % 60}."
        rows.append(
            {
                "question": f"{generator.choice(['my', 'the', 'a'])} {subject} {sign} {number}",
                "answer": document,
            }
        )
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def make_xlm_roberta(folder: Path) -> Path:
    """Save a 2-layer random XLM-R with a character-level SentencePiece vocabulary, as E5 has."""
    from tokenizers import Tokenizer
    from tokenizers.models import Unigram
    from tokenizers.pre_tokenizers import Metaspace
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast, XLMRobertaConfig, XLMRobertaModel, set_seed

    set_seed(0)
    signs = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    words = [f"▁{word}" for word in [*SUBJECTS, *SIGNS, "query", "passage"]]
    letters = [*string.ascii_lowercase, *"▁0123456789éè.,'?-#:"]
    scores = dict.fromkeys(signs, 0.0) | dict.fromkeys(words, -2.0) | dict.fromkeys(letters, -5.0)
    vocabulary = list(scores.items())
    tokenizer = Tokenizer(Unigram(vocabulary, unk_id=3))
    tokenizer.pre_tokenizer = Metaspace()
    tokenizer.post_processor = TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    raw = folder.with_name(folder.name + "-xlm")
    raw.mkdir(parents=True)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        mask_token="<mask>",
        model_input_names=["input_ids", "attention_mask"],
    ).save_pretrained(raw)
    shape = XLMRobertaConfig(
        vocab_size=len(vocabulary),
        hidden_size=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=66,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
    )
    XLMRobertaModel(shape).save_pretrained(raw)
    return _save_encoder(folder, raw, prompts=None)


def make_roberta(folder: Path) -> Path:
    """Save a 2-layer random RoBERTa with a byte-level BPE vocabulary of the subjects and signs."""
    from tokenizers import ByteLevelBPETokenizer, processors
    from transformers import (
        PreTrainedTokenizerFast,
        RobertaConfig,
        RobertaModel,
        set_seed,
    )

    set_seed(0)
    signs = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer = ByteLevelBPETokenizer()
    words = [*SUBJECTS, *SIGNS]
    tokenizer.train_from_iterator(
        [f"{first} {second}" for first in words for second in words],
        vocab_size=400,
        min_frequency=1,
        special_tokens=signs,
        show_progress=False,
    )
    fast = tokenizer._tokenizer
    fast.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    raw = folder.with_name(folder.name + "-roberta")
    raw.mkdir(parents=True)
    PreTrainedTokenizerFast(
        tokenizer_object=fast,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        mask_token="<mask>",
    ).save_pretrained(raw)
    shape = RobertaConfig(
        vocab_size=fast.get_vocab_size(),
        hidden_size=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=66,
    )
    RobertaModel(shape).save_pretrained(raw)
    return _save_encoder(folder, raw, prompts=None)


def _save_encoder(folder: Path, raw: Path, prompts: dict[str, str] | None) -> Path:
    """Save a transformer as an encoder with mean pooling and unit vectors."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling

    transformer = Transformer(str(raw), max_seq_length=48)
    modules = [transformer, Pooling(WIDTH, "mean"), Normalize()]
    model = SentenceTransformer(modules=modules, prompts=prompts, device="cpu")
    model.save_pretrained(str(folder), create_model_card=False)
    return folder
