"""The cache on a scripted clock, its computations in the test's hand."""

from concurrent.futures import Future

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.clock import ScriptedClock
from harness.engines.pooled.cache import Cache, Source


class Kitchen:
    """Computations that end when the test says."""

    def __init__(self) -> None:
        self.orders: list[Future[bytes]] = []

    def __call__(self) -> Future[bytes]:
        self.orders.append(Future())
        return self.orders[-1]


@pytest.fixture
def clock() -> ScriptedClock:
    return ScriptedClock()


@pytest.fixture
def kitchen() -> Kitchen:
    return Kitchen()


def cache_of(limit: int, clock: ScriptedClock, ttl_s: float = 100.0) -> Cache[str, bytes]:
    return Cache(limit=limit, ttl_s=ttl_s, size_of=lambda _key, value: len(value), clock=clock)


def ready(value: bytes) -> Future[bytes]:
    future: Future[bytes] = Future()
    future.set_result(value)
    return future


def fill(cache: Cache[str, bytes], key: str, size: int) -> Source:
    future, source = cache.get(key, lambda: ready(key[0].encode() * size))
    assert future.result() == key[0].encode() * size
    return source


def test_a_stampede_of_32_is_computed_once(clock: ScriptedClock, kitchen: Kitchen) -> None:
    cache = cache_of(100, clock)
    asked = [cache.get("key", kitchen) for _ in range(32)]
    assert len(kitchen.orders) == 1
    kitchen.orders[0].set_result(b"audio")
    assert [future.result(0) for future, _ in asked] == [b"audio"] * 32
    assert [source for _, source in asked] == [Source.MISS, *[Source.JOINED] * 31]
    again, source = cache.get("key", kitchen)
    assert (again.result(0), source) == (b"audio", Source.HIT)
    state = cache.state
    assert (state.misses, state.joined, state.hits, state.hit_rate) == (1, 31, 1, 1 / 33)


def test_least_recently_used_goes_first(clock: ScriptedClock) -> None:
    cache = cache_of(30, clock)
    for key in ("a", "b", "c"):
        fill(cache, key, 10)
    assert fill(cache, "a", 10) is Source.HIT
    fill(cache, "d", 10)
    assert fill(cache, "a", 10) is Source.HIT
    assert fill(cache, "b", 10) is Source.MISS
    assert cache.state.evicted == 2


def test_what_is_too_old_is_computed_again(clock: ScriptedClock) -> None:
    cache = cache_of(100, clock, ttl_s=5.0)
    fill(cache, "a", 10)
    clock.sleep(4.999)
    assert fill(cache, "a", 10) is Source.HIT
    clock.sleep(0.001)
    assert fill(cache, "a", 10) is Source.MISS
    assert (cache.state.expired, cache.state.size, cache.state.entries) == (1, 10, 1)


def test_what_is_larger_than_the_cache_is_not_kept_and_drives_nothing_out(clock: ScriptedClock) -> None:
    cache = cache_of(30, clock)
    fill(cache, "a", 20)
    fill(cache, "b", 31)
    assert (cache.state.refused, cache.state.entries, cache.state.size) == (1, 1, 20)


def test_without_room_nothing_is_kept_or_shared(clock: ScriptedClock, kitchen: Kitchen) -> None:
    cache = cache_of(0, clock)
    _, first = cache.get("key", kitchen)
    _, second = cache.get("key", kitchen)
    assert (first, second, len(kitchen.orders)) == (Source.MISS, Source.MISS, 2)


def test_a_failure_goes_to_all_and_is_not_kept(clock: ScriptedClock, kitchen: Kitchen) -> None:
    cache = cache_of(100, clock)
    asked = [cache.get("key", kitchen)[0] for _ in range(3)]
    kitchen.orders[0].set_exception(ValueError("broken"))
    for future in asked:
        with pytest.raises(ValueError, match="broken"):
            future.result(0)
    assert fill(cache, "key", 5) is Source.MISS


def test_work_is_given_up_with_its_last_listener(clock: ScriptedClock, kitchen: Kitchen) -> None:
    cache = cache_of(100, clock)
    first, second = cache.get("key", kitchen)[0], cache.get("key", kitchen)[0]
    first.cancel()
    assert not kitchen.orders[0].cancelled()
    second.cancel()
    assert kitchen.orders[0].cancelled()
    _, source = cache.get("key", kitchen)
    assert (source, len(kitchen.orders)) == (Source.MISS, 2)


def test_one_who_leaves_does_not_take_the_others_audio(clock: ScriptedClock, kitchen: Kitchen) -> None:
    cache = cache_of(100, clock)
    first, second = cache.get("key", kitchen)[0], cache.get("key", kitchen)[0]
    first.cancel()
    kitchen.orders[0].set_result(b"audio")
    assert second.result(0) == b"audio"
    assert first.cancelled()


def test_what_already_runs_is_kept_though_all_have_left(clock: ScriptedClock, kitchen: Kitchen) -> None:
    cache = cache_of(100, clock)
    waiter, _ = cache.get("key", kitchen)
    kitchen.orders[0].set_running_or_notify_cancel()
    waiter.cancel()
    joined, source = cache.get("key", kitchen)
    kitchen.orders[0].set_result(b"audio")
    assert (joined.result(0), source, len(kitchen.orders)) == (b"audio", Source.JOINED, 1)


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 40), st.floats(0, 10)), max_size=60))
def test_the_bound_holds_and_every_request_is_counted(asked: list[tuple[str, int, float]]) -> None:
    clock = ScriptedClock()
    cache = cache_of(50, clock, ttl_s=20.0)
    for key, size, pause in asked:
        clock.sleep(pause)
        name = f"{key}{size}"
        future, _ = cache.get(name, lambda size=size: ready(b"x" * size))  # type: ignore[misc]
        assert future.result(0) == b"x" * size
        assert cache.state.size <= 50
    state = cache.state
    assert state.hits + state.misses + state.joined == len(asked)
    assert state.misses == state.entries + state.evicted + state.expired + state.refused
