"""What a parent sees of itself and its children."""

from __future__ import annotations

from lazward.orchestration import children
from lazward.storage import resources
from tests.orchestration.place import HOME


def row(place, name: str) -> resources.Row:
    found = place.get(f"jobs/{name}")
    assert found is not None
    return found


def change(place, name: str) -> None:
    place.db.write_now(lambda tx: resources.update(tx, row(place, name), 1.0))


class TestNews:
    async def test_what_has_not_changed_is_not_read_again(self, place):
        for name in ("parent", "a", "b"):
            place.job(name, "true")
        parent, known = row(place, "parent"), {r.key: r for r in (row(place, "a"), row(place, "b"))}
        now, changed, gone = place.db.read_now(children.news, parent, known)
        assert now is parent and changed == [] and gone == set()

    async def test_a_parent_and_a_child_that_have_changed(self, place):
        for name in ("parent", "a", "b"):
            place.job(name, "true")
        parent, known = row(place, "parent"), {r.key: r for r in (row(place, "a"), row(place, "b"))}
        change(place, "parent")
        change(place, "b")
        now, changed, gone = place.db.read_now(children.news, parent, known)
        assert now is not None and now.etag != parent.etag and now.key == parent.key
        assert [r.name for r in changed] == ["b"] and gone == set()

    async def test_what_is_gone(self, place):
        for name in ("parent", "a"):
            place.job(name, "true")
        parent, known = row(place, "parent"), {row(place, "a").key: row(place, "a")}
        place.db.write_now(lambda tx: [resources.delete(tx, f"{HOME}/jobs/{name}".lower()) for name in ("parent", "a")])
        assert place.db.read_now(children.news, parent, known) == (None, [], set(known))
