"""A model in int8 ranks as well as before at each dimension, or is refused."""

import pytest

from medembed.errors import ModelError
from medembed.quantization.judge import check_loss


@pytest.mark.parametrize("lost", [0.006, float("nan")])
def test_a_loss_above_the_tolerance_at_one_dimension_is_enough(lost: float):
    check_loss({64: 0.5, 32: 0.4}, {64: 0.6, 32: 0.396}, 0.005, "m")
    with pytest.raises(ModelError, match="at 32 dimensions"):
        check_loss({64: 0.5, 32: 0.4}, {64: 0.6, 32: 0.4 - lost}, 0.005, "m")
