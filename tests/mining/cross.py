"""A real but tiny cross-encoder, random, made in a second."""

from pathlib import Path


def make_cross_encoder(folder: Path, encoder: Path, labels: int = 1) -> Path:
    """A BERT with a score for a pair, of the tiny encoder's shape and vocabulary, as transformers saves it."""
    import torch
    from transformers import AutoConfig, AutoTokenizer, BertForSequenceClassification

    torch.manual_seed(1)
    model = BertForSequenceClassification(AutoConfig.from_pretrained(encoder, num_labels=labels))
    torch.nn.init.normal_(model.classifier.weight, std=2.0)  # else all pairs score alike
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(encoder).save_pretrained(folder)
    return folder
