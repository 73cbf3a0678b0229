import pytest

from medembed.distillation.pair import choose_dimensions
from medembed.distillation.quality import Quality, check_kept
from medembed.errors import ModelError

QUALITY = Quality("ndcg@10", {64: 0.57, 384: 0.63}, {384: 0.6, 64: 0.6})


def test_what_is_kept_is_the_share_of_the_teachers_quality_at_each_dimension():
    assert list(QUALITY.kept) == [384, 64]
    assert QUALITY.kept == pytest.approx({384: 1.05, 64: 0.95})
    assert QUALITY.metrics["kept_ndcg@10_dim_64"] == pytest.approx(0.95)


def test_a_student_that_keeps_too_little_at_its_widest_or_narrowest_dimension_is_refused():
    check_kept(QUALITY, 0.94)
    with pytest.raises(ModelError, match="keeps 95.0% of its teacher's NDCG@10 at 64 dimensions"):
        check_kept(QUALITY, 0.951)
    between = Quality("ndcg@10", {8: 1.0, 16: 0.1, 32: 1.0}, {8: 1.0, 16: 1.0, 32: 1.0})
    check_kept(between, 0.95)


@pytest.mark.parametrize(
    ("trained", "width", "expected"),
    [
        ((384, 128, 32), 384, (384, 128, 32)),
        ((384, 128, 32), 256, (256, 128, 32)),
        ((), 384, (384, 256, 128, 64, 32)),
        ((), 768, (768, 384, 256, 128, 64, 32)),
        ((), 48, (48, 32)),
    ],
)
def test_a_student_has_the_teachers_dimensions_up_to_its_width(
    trained: tuple[int, ...], width: int, expected: tuple[int, ...]
):
    assert choose_dimensions(trained, width) == expected
