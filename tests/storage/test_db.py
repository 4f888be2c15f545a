from __future__ import annotations

import pytest

from lazward.storage import tasks


class TestPart:
    def test_what_a_part_wrote_is_undone_when_it_raises_and_the_rest_stays(self, db, clock):
        made: dict[str, str] = {}

        def write(tx):
            made["before"] = tasks.enqueue(tx, "k", "before", {}, clock())
            with pytest.raises(ValueError), tx.part():
                made["inside"] = tasks.enqueue(tx, "k", "inside", {}, clock())
                raise ValueError
            with tx.part():
                made["kept"] = tasks.enqueue(tx, "k", "kept", {}, clock())

        db.write_now(write)
        assert {name: db.read_now(tasks.get, task) is not None for name, task in made.items()} == {"before": True, "inside": False, "kept": True}

    def test_a_part_is_not_written_before_the_whole(self, db, clock):
        def write(tx):
            with tx.part():
                tasks.enqueue(tx, "k", "s", {}, clock())
            raise ValueError

        with pytest.raises(ValueError):
            db.write_now(write)
        assert db.read_now(tasks.next_due) is None
