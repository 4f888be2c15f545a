from lazward.apps.token import throttle
from lazward.apps.token.throttle import FREE_TRIES, MAX_WAIT_S, Throttle

KEY, NOW = ("client", "127.0.0.1"), 1_800_000_000.0


def fail(t: Throttle, times: int, now: float = NOW, key: tuple[str, str] = KEY) -> None:
    for _ in range(times):
        t.failed(key, now)


def test_first_tries_are_free_then_each_waits_longer():
    t = Throttle()
    waits = []
    for _ in range(FREE_TRIES + 7):
        t.failed(KEY, NOW)
        waits.append(t.wait(KEY, NOW))
    assert waits == [0] * (FREE_TRIES - 1) + [1, 2, 4, 8, 16, 30, 30, 30]
    assert t.wait(KEY, NOW + MAX_WAIT_S) == 0


def test_a_right_secret_or_a_quiet_while_forgets():
    t = Throttle()
    fail(t, 9)
    t.passed(KEY)
    assert t.wait(KEY, NOW) == 0
    fail(t, 9)
    t.failed(KEY, NOW + throttle.FORGET_S + 1)
    assert t.wait(KEY, NOW + throttle.FORGET_S + 1) == 0


def test_others_are_not_held_up():
    t = Throttle()
    fail(t, 9)
    assert t.wait(("client", "10.0.0.1"), NOW) == t.wait(("other", "127.0.0.1"), NOW) == 0


def test_strangers_cannot_make_it_forget_at_will_nor_fill_the_memory(monkeypatch):
    monkeypatch.setattr(throttle, "MAX_KEYS", 3)
    t = Throttle()
    for i in range(10):
        t.failed((str(i), "x"), NOW)
    fail(t, 9)
    for i in range(2):
        t.failed((str(i), "x"), NOW)
    assert len(t._failed) == 3 and t.wait(KEY, NOW) > 0
