import numpy as np

from medembed.evaluation.search_time import measure_search


def test_search_time_is_the_median_over_queries_of_each_dimension_in_milliseconds(monkeypatch):
    vectors = np.random.default_rng(0).normal(size=(50, 16)).astype(np.float32)
    measured = measure_search(vectors, vectors[:3], [16, 4], k=2, repeats=2)
    assert list(measured) == [16, 4]
    assert min(measured.values()) > 0
    # Steps of a clock that is read before and after each query: 16 dimensions take 1, 2, 9, 1, 2, 9
    # s, 4 take 0.5 s.
    steps = [
        step
        for _ in range(2)
        for took in ([1.0, 2.0, 9.0], [0.5] * 3)
        for one in took
        for step in (0.0, one)
    ]
    clock = iter(np.cumsum(steps).tolist())
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    assert measure_search(vectors, vectors[:3], [16, 4], repeats=2) == {16: 2000.0, 4: 500.0}
