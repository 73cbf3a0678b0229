"""Real but tiny cross-encoders, random, made in a second."""

from pathlib import Path

QUERY = "pain of the heart"
TEXTS = [
    "Pain in the heart.",
    "Pain in the heart.",
    "Skin rash.",
    "A tremor of the left hand",
    "brain",
    "Heart " * 9,
]


def make_cross_encoder(folder: Path, encoder: Path, labels: int = 1) -> Path:
    """Save a BERT that scores a pair, with the tiny encoder's shape and vocabulary."""
    import torch
    from transformers import AutoConfig, AutoTokenizer, BertForSequenceClassification

    torch.manual_seed(1)
    model = BertForSequenceClassification(AutoConfig.from_pretrained(encoder, num_labels=labels))
    torch.nn.init.normal_(model.classifier.weight, std=2.0)  # else all pairs score alike
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(encoder).save_pretrained(folder)
    return folder


def make_language_model_ranker(folder: Path, encoder: Path) -> Path:
    """Save a Qwen3 whose chat template asks for a yes or a no."""
    import torch
    from sentence_transformers import CrossEncoder
    from transformers import AutoTokenizer, PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(2)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=AutoTokenizer.from_pretrained(encoder).backend_tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        eos_token="[SEP]",
        model_max_length=64,
    )
    tokenizer.add_tokens(["yes", "no"])
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }} {% endfor %}answer:"
    )
    shape = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        intermediate_size=64,
        head_dim=16,
        max_position_embeddings=64,
    )
    raw = folder.with_name(f"{folder.name}-raw")
    Qwen3ForCausalLM(shape).save_pretrained(raw)
    tokenizer.save_pretrained(raw)
    CrossEncoder(str(raw), device="cpu").save_pretrained(str(folder))
    return folder
