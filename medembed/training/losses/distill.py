"""Compute what a student of a batch lacks of its teacher: vectors, similarities, margins."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from medembed.training.loss_config import TargetsConfig
from medembed.training.losses.prefix_loss import EmbeddingLoss


def distill(
    vectors: npt.NDArray[np.float32], targets: TargetsConfig, temperature: float
) -> EmbeddingLoss:
    """Return the loss of a student's unit prefixes [B, d] and the row numbers int64 [B] of what
    its teacher gives the same texts.

    vectors float32 [N, D], D >= d, are the teacher's; they are truncated and scaled as the
    student's are. No text is compared with itself.
    """
    taught = torch.from_numpy(vectors)

    def loss(embeddings: list[Tensor], rows: Tensor) -> Tensor:
        (student,) = embeddings
        teacher = taught[rows.cpu(), : student.shape[1]].to(student.device, student.dtype)
        return compare_with_teacher(student, F.normalize(teacher, dim=1), targets, temperature)

    return loss


def compare_with_teacher(
    student: Tensor, teacher: Tensor, targets: TargetsConfig, temperature: float
) -> Tensor:
    """Return the weighted sum of the targets' losses; both [B, d] with unit rows."""
    loss = student.new_zeros(())
    if targets.embeddings:
        loss = loss + targets.embeddings * embedding_loss(student, teacher)
    if targets.similarities or targets.margins:
        own = _others(student @ student.T)
        given = _others(teacher @ teacher.T)
        if targets.similarities:
            loss = loss + targets.similarities * similarity_loss(own, given, temperature)
        if targets.margins:
            loss = loss + targets.margins * margin_loss(own, given)
    return loss


def embedding_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the mean cosine distance of unit rows [B, d].

    It is half their squared difference (Reimers and Gurevych 2020, arXiv:2004.09813, equation 1),
    which does not shrink as d grows.
    """
    return 1 - (student * teacher).sum(1).mean()


def similarity_loss(own: Tensor, given: Tensor, temperature: float) -> Tensor:
    """Return KL(teacher || student) of the softmax of similarities [B, n], the mean over rows.

    Hinton et al. 2015, arXiv:1503.02531, with the batch's other texts in the place of classes.
    """
    return F.kl_div(
        F.log_softmax(own / temperature, dim=1),
        F.log_softmax(given / temperature, dim=1),
        reduction="batchmean",
        log_target=True,
    )


def margin_loss(own: Tensor, given: Tensor) -> Tensor:
    """Return the mean squared error of all differences of two similarities of a row [B, n].

    Margin MSE (Hofstätter et al. 2020, arXiv:2010.02666, equation 7). Over all pairs of a row it
    is twice the variance of the row's errors, so that no pair is formed.
    """
    return 2 * (own - given).var(dim=1, correction=0).mean()


def _others(similarities: Tensor) -> Tensor:
    """Return a square matrix [B, B] without its diagonal, [B, B - 1]: no text is its own
    candidate.
    """
    rows = len(similarities)
    return similarities.flatten()[1:].view(rows - 1, rows + 1)[:, :-1].reshape(rows, rows - 1)
