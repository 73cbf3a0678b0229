"""How texts become embeddings, and on which resources."""

from pydantic import Field

from medembed.config import Config


class EncodingConfig(Config):
    """What determines an embedding, and how the work is spread."""

    max_tokens_per_batch: int = Field(default=4096, ge=64, description="tokens in one forward pass, padding included")
    workers: int = Field(default=2, ge=1, description="encoding actors")
    cpus_per_worker: int = Field(default=1, ge=1, description="CPU cores and threads of one actor")
    gpus_per_worker: float = Field(
        default=0, ge=0, description="GPUs of one actor; a share such as 0.5 packs two on one"
    )
