"""Do work on all ranks together: join tensors, share texts to encode, follow rank 0."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.nn.functional import all_gather

from medembed.encoding.reading import Role
from medembed.errors import MedEmbedError, TrainingError

Result = TypeVar("Result")

if TYPE_CHECKING:
    from medembed.evaluation.sample import Encode


def world() -> tuple[int, int]:
    """Return (rank, number of ranks); (0, 1) outside a process group."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def gather(tensor: Tensor) -> Tensor:
    """Return [ranks x rows, ...] from [rows, ...] of each rank, without gradients.

    All must have as many rows.
    """
    ranks = world()[1]
    if ranks == 1:
        return tensor
    parts = [torch.empty_like(tensor) for _ in range(ranks)]
    dist.all_gather(parts, tensor.contiguous())
    return torch.cat(parts)


def gather_with_gradients(tensor: Tensor) -> Tensor:
    """Return what `gather` does; each rank's rows get the summed gradients of all ranks' losses."""
    return torch.cat(all_gather(tensor.contiguous())) if world()[1] > 1 else tensor


def encode_in_shares(
    encode: "Encode", texts: Sequence[str], role: Role, device: torch.device
) -> npt.NDArray[np.float32]:
    """Return float32 [len(texts), width] on every rank; each encodes its share of the texts.

    All ranks must call it with the same texts. Sorted by length and dealt out in turn, so that
    shares take alike long. `device` is where the process group's tensors must be: a GPU for NCCL.
    """
    rank, ranks = world()
    if ranks == 1:
        return encode(list(texts), role)
    order = np.argsort([len(text) for text in texts], kind="stable")
    shares = [order[number::ranks] for number in range(ranks)]
    own = torch.from_numpy(encode([texts[index] for index in shares[rank]], role))
    padded = torch.zeros((len(shares[0]), own.shape[1]), dtype=torch.float32, device=device)
    padded[: len(own)] = own
    embeddings = np.empty((len(texts), own.shape[1]), dtype=np.float32)
    for share, rows in zip(shares, gather(padded).split(len(padded)), strict=True):
        embeddings[share] = rows[: len(share)].cpu().numpy()
    return embeddings


def agreed(work: Callable[[], Result], device: torch.device) -> Result:
    """Return what `work` gives on this rank, once all ranks are done with it.

    So no rank waits for one that failed; `work` must not talk to other ranks. Raises AllRefused if
    it failed on all ranks, so that a retry would not help; else this rank's own error, or
    TrainingError if another rank failed.
    """
    error: MedEmbedError | None = None
    try:
        result = work()
    except MedEmbedError as raised:
        error = raised
    failed = int(gather(torch.tensor([int(error is not None)], device=device)).sum())
    if error is not None:
        raise AllRefused(error) if failed == world()[1] else error
    if failed:
        raise TrainingError(
            "{failed} of {workers} workers could not prepare; their own messages say why.",
            failed=failed,
            workers=world()[1],
        )
    return result


class AllRefused(Exception):
    """No rank can do it; `error` is this rank's reason."""

    def __init__(self, error: MedEmbedError) -> None:
        super().__init__(str(error))
        self.error = error


def name_from_rank_zero(find: Callable[[], str | None], device: torch.device) -> str | None:
    """Return on every rank what `find` gives on rank 0; no name is empty.

    It is sent as numbers: PyTorch's own way to send objects would unpickle whatever comes.
    """
    name = (find() or "").encode() if world()[0] == 0 else b""
    (length,) = from_rank_zero([len(name)], device)
    letters = from_rank_zero(list(name) or [0.0] * int(length), device)
    return bytes(map(int, letters)).decode() or None


def from_rank_zero(values: Sequence[float], device: torch.device) -> list[float]:
    """Return rank 0's values on every rank, as float64; all ranks must give as many."""
    if world()[1] == 1:
        return list(values)
    tensor = torch.tensor(list(values), dtype=torch.float64, device=device)
    dist.broadcast(tensor, src=0)
    return list(tensor.tolist())
