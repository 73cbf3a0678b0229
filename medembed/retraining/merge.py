"""The average of two models' weights: what one learned, without leaving the other far behind."""

from pathlib import Path

from medembed.errors import ModelError


def merge_weights(champion: Path, trained: Path, share: float) -> None:
    """Makes each weight of the folder `trained` `share` x its own + (1 - share) x the champion's.

    Interpolation in weight space (Wortsman et al. 2022, WiSE-FT, arXiv:2109.01903). Both are stock
    sentence-transformers folders. Raises ModelError if their tensors differ in name or shape.
    """
    import torch
    from safetensors.torch import load_file, save_file

    for path in sorted(trained.rglob("*.safetensors")):
        other = champion / path.relative_to(trained)
        ours = load_file(path)
        theirs = load_file(other) if other.is_file() else {}
        shapes = {name: tensor.shape for name, tensor in ours.items()}
        if shapes != {name: tensor.shape for name, tensor in theirs.items()}:
            raise ModelError(
                f"increment.merge: {path.relative_to(trained)} has other tensors than the champion's; leave it out."
            )
        merged = {
            name: torch.lerp(theirs[name].double(), tensor.double(), share).to(tensor.dtype).contiguous()
            if tensor.is_floating_point()
            else tensor
            for name, tensor in ours.items()
        }
        save_file(merged, path, metadata={"format": "pt"})
