"""The bounded memory: what it gives back is what was put, and it never holds too much."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sparsenas.searching.lru import Cache

puts = st.tuples(st.integers(0, 9), st.integers(0, 40))


@given(st.integers(0, 100), st.lists(st.one_of(puts, st.integers(0, 9), st.none())))
def test_against_everything_ever_put(limit: int, steps: list[tuple[int, int] | int | None]) -> None:
    cache, ever = Cache(limit), {}
    for step in steps:
        if step is None:
            cache.begin()
        elif isinstance(step, int):
            assert cache.get(step, str) in (None, ever.get(step))
        else:
            key, size = step
            ever[key] = f"{key} of {size}"
            cache.put(key, ever[key], size)
        assert 0 <= cache.used <= limit
    kept = {key: cache.get(key, str) for key in ever}
    assert cache.used == sum(int(value.split()[-1]) for value in kept.values() if value is not None)


def test_what_was_used_longest_ago_goes_first() -> None:
    cache = Cache(30)
    cache.begin()
    for key in "abc":
        cache.put(key, key, 10)
    cache.begin()
    cache.get("a", str)
    cache.put("d", "d", 10)
    assert [key for key in "abcd" if cache.get(key, str)] == ["a", "c", "d"]


def test_a_round_keeps_what_it_has_used() -> None:
    cache = Cache(30)
    for _ in range(2):
        cache.begin()
        found = [cache.get(key, int) for key in range(5)]
        for key in range(5):
            cache.put(key, key, 10)
    assert found == [0, 1, 2, None, None]
