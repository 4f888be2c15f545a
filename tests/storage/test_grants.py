from __future__ import annotations

from collections.abc import Callable

import pytest

from lazward.storage import grants
from lazward.storage.db import Database

NOW = 1_800_000_000.0
DOC = {"client_id": "cli", "audience": "a", "peer": "p", "at": NOW}


def opened(db: Database) -> None:
    assert db.write_now(grants.open_device, "D", "U", DOC, NOW + 900, NOW)


def poll(db: Database, at: float, client: str = "cli") -> tuple[str, str | None]:
    return db.write_now(grants.redeem_device, "D", client, at, 4.0)


class TestDevice:
    def test_waits_then_lets_in_once(self, db: Database):
        opened(db)
        assert poll(db, NOW) == ("authorization_pending", None)
        assert db.read_now(grants.device_of, "U", NOW)["client_id"] == "cli"
        assert db.write_now(grants.decide_device, "U", "P", True, NOW + 1)
        assert poll(db, NOW + 2) == ("ok", "P")
        assert poll(db, NOW + 9) == ("invalid_grant", None)

    def test_who_asks_too_often_is_slowed_down(self, db: Database):
        opened(db)
        assert [poll(db, NOW + s)[0] for s in (0, 1, 2, 4, 5)] == ["authorization_pending", "slow_down", "slow_down", "authorization_pending", "slow_down"]

    def test_declined(self, db: Database):
        opened(db)
        assert db.write_now(grants.decide_device, "U", "P", False, NOW)
        assert poll(db, NOW + 5) == ("authorization_declined", None)

    def test_confirmed_once_only(self, db: Database):
        opened(db)
        assert db.write_now(grants.decide_device, "U", "P", True, NOW)
        assert not db.write_now(grants.decide_device, "U", "Q", True, NOW)
        assert db.read_now(grants.device_of, "U", NOW) is None

    def test_expires(self, db: Database):
        opened(db)
        assert db.read_now(grants.device_of, "U", NOW + 901) is None
        assert not db.write_now(grants.decide_device, "U", "P", True, NOW + 901)
        assert poll(db, NOW + 901) == ("expired_token", None)

    def test_is_of_one_client(self, db: Database):
        opened(db)
        db.write_now(grants.decide_device, "U", "P", True, NOW)
        assert poll(db, NOW, "other") == ("invalid_grant", None)

    def test_strangers_cannot_fill_the_table(self, db: Database, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(grants, "MAX_OPEN", 2)
        made = [db.write_now(grants.open_device, f"D{i}", f"U{i}", DOC, NOW + 900, NOW) for i in range(3)]
        assert made == [True, True, False]
        assert db.write_now(grants.open_device, "D9", "U9", DOC, NOW + 2000, NOW + 901)  # the old ones have expired


class TestCode:
    @pytest.mark.parametrize(("at", "found"), [(0, True), (300, True), (301, False)])
    def test_once_and_in_time(self, db: Database, at: float, found: bool):
        db.write_now(grants.put_code, "C", "P", {"x": 1}, NOW + 300, NOW)
        grant = db.write_now(grants.redeem_code, "C", NOW + at)
        assert (grant is not None and grant.principal == "P" and grant.doc == {"x": 1}) is found
        assert db.write_now(grants.redeem_code, "C", NOW) is None


class TestRefresh:
    @pytest.fixture
    def rotate(self, db: Database) -> Callable[..., str | None]:
        db.write_now(grants.put_refresh, "r0", "P", "cli", "family", NOW + 1000)

        def rotate(old: str, new: str, at: float = 0, client: str = "cli") -> str | None:
            return db.write_now(grants.rotate_refresh, old, client, new, NOW + at + 1000, NOW + at)

        return rotate

    def test_each_gives_the_next(self, rotate: Callable[..., str | None]):
        assert [rotate("r0", "r1"), rotate("r1", "r2", 500), rotate("r2", "r3", 1400)] == ["P", "P", "P"]

    def test_expires_since_its_last_use(self, rotate: Callable[..., str | None]):
        assert rotate("r0", "r1", 999) == "P" and rotate("r1", "r2", 2000) is None

    def test_one_that_comes_again_later_ends_the_whole_family(self, db: Database, rotate: Callable[..., str | None]):
        db.write_now(grants.put_refresh, "x0", "P", "cli", "another sign-in", NOW + 1000)
        rotate("r0", "r1")
        assert rotate("r0", "stolen", 100) is None
        assert rotate("r1", "r2", 101) is None
        assert rotate("x0", "x1", 101) == "P"

    def test_two_processes_of_one_user_at_the_same_moment_both_go_on(self, rotate: Callable[..., str | None]):
        assert rotate("r0", "a1") == "P" and rotate("r0", "b1", 5) == "P"
        assert rotate("a1", "a2", 500) == "P" and rotate("b1", "b2", 500) == "P"

    def test_is_of_one_client_and_must_exist(self, rotate: Callable[..., str | None]):
        assert rotate("r0", "r1", client="other") is None and rotate("never", "r1") is None
        assert rotate("r0", "r1") == "P"

    def test_drop_all_of(self, db: Database, rotate: Callable[..., str | None]):
        db.write_now(grants.drop_all_of, "P")
        assert rotate("r0", "r1") is None
