from __future__ import annotations

import uuid
from typing import Any, ClassVar

import pytest
import sqlalchemy as sa

from lazward.contract.errors import ArmError
from lazward.contract.ids import workspace_id
from lazward.domain.rbac import Permission
from lazward.domain.rbac_roles import OWNER, READER
from lazward.storage import access, grants, resources
from lazward.storage.db import Database
from lazward.storage.tables import event, experiment, run

NOW = 1_800_000_000.0
GROUP = "/subscriptions/s/resourcegroups/g"


def make(db: Database, name: str = "p", kind: str = "ServicePrincipal", secret: str | None = "h"):
    return db.write_now(access.create_principal, name, kind, secret, NOW)


class TestPrincipals:
    def test_ids_are_random_and_people_have_no_client_id(self, db: Database):
        made, person = make(db), make(db, kind="User", secret="h2")
        assert len({made.id, made.app_id, person.id}) == 3 and person.app_id is None
        assert db.read_now(access.by_client, made.app_id) == db.read_now(access.by_client, made.id) == made
        assert db.read_now(access.by_secret, "h2") == person
        assert {p.id for p in db.read_now(access.principals)} == {made.id, person.id}
        assert db.read_now(access.by_client, "nobody") is None

    @pytest.mark.parametrize(("name", "kind", "target"), [("x", "Robot", "kind"), (" ", "User", "name"), ("a\nb", "User", "name"), ("a" * 300, "User", "name")])
    def test_what_cannot_be(self, db: Database, name: str, kind: str, target: str):
        with pytest.raises(ArmError) as caught:
            db.write_now(access.create_principal, name, kind, None, NOW)
        assert caught.value.target == target

    def test_a_disabled_one_or_one_with_a_new_secret_loses_its_sign_ins(self, db: Database):
        made = make(db)
        for change in (lambda tx: access.set_secret(tx, made.id, "h3", NOW), lambda tx: access.set_enabled(tx, made.id, False, NOW)):
            db.write_now(grants.put_refresh, "r", made.id, "c", "f", NOW + 100)
            db.write_now(change)
            assert db.write_now(grants.rotate_refresh, "r", "c", "r2", NOW + 100, NOW) is None
        assert db.read_now(access.by_client, made.id).enabled is False

    @pytest.mark.parametrize("change", [lambda tx: access.set_secret(tx, "nobody", "h", NOW), lambda tx: access.set_enabled(tx, "nobody", True, NOW)])
    def test_an_unknown_one(self, db: Database, change):
        with pytest.raises(ArmError) as caught:
            db.write_now(change)
        assert (caught.value.status, caught.value.code) == (404, "PrincipalNotFound")


class TestAssignments:
    def test_once_per_scope_principal_and_role(self, db: Database):
        made = make(db)
        first = db.write_now(access.assign, "/Subscriptions/S/", made.id, READER, NOW)
        assert first.scope == "/subscriptions/s"
        with pytest.raises(ArmError) as caught:
            db.write_now(access.assign, "/subscriptions/s", made.id.upper(), READER.upper(), NOW)
        assert (caught.value.status, caught.value.code) == (409, "RoleAssignmentExists") and first.id.replace("-", "") in caught.value.message
        db.write_now(access.assign, "/subscriptions/s", made.id, OWNER, NOW)
        assert len(db.read_now(access.assignments)) == 2

    def test_around_a_scope(self, db: Database):
        one, two = make(db), make(db, secret="h2")
        given = (("/", one), ("/subscriptions/s", two), (GROUP, one), (GROUP + "/providers/x/y/z", two), ("/subscriptions/s/resourcegroups/g2", one))
        for i, (scope, who) in enumerate(given):
            db.write_now(access.assign, scope, who.id, READER, NOW + i)

        def scopes(below: str | None, who: str | None = None) -> list[str]:
            return [g.scope for g in db.read_now(access.assignments_around, [GROUP, "/subscriptions/s", "/"], below, who)]

        assert scopes(None) == ["/", "/subscriptions/s", GROUP]
        assert scopes(GROUP) == ["/", "/subscriptions/s", GROUP, GROUP + "/providers/x/y/z"]
        assert scopes(GROUP, two.id.upper()) == ["/subscriptions/s", GROUP + "/providers/x/y/z"]
        assert len(scopes("/")) == 5

    def test_the_last_owner_of_everything_stays(self, db: Database):
        one, two = make(db), make(db, secret="h2")
        first = db.write_now(access.assign, "/", one.id, OWNER, NOW)
        db.write_now(access.assign, "/", str(uuid.uuid4()), OWNER, NOW)  # of somebody who does not exist
        for change in (lambda tx: access.unassign(tx, first.id, NOW), lambda tx: access.set_enabled(tx, one.id, False, NOW)):
            with pytest.raises(ArmError) as caught:
                db.write_now(change)
            assert (caught.value.status, caught.value.code) == (409, "LastOwnerCannotBeRemoved")
        db.write_now(access.assign, "/", two.id, OWNER, NOW)
        db.write_now(access.set_enabled, two.id, False, NOW)
        with pytest.raises(ArmError):
            db.write_now(access.unassign, first.id, NOW)
        db.write_now(access.set_enabled, two.id, True, NOW)
        db.write_now(access.unassign, first.id, NOW)
        assert db.read_now(access.assignment, first.id) is None


class TestRoles:
    DOC: ClassVar[dict[str, Any]] = {"roleName": "Mine", "permissions": [{"actions": ["a/*"], "notActions": ["a/b"]}, {"dataActions": ["c"]}], "assignableScopes": ["/subscriptions/s"]}

    def test_written_read_changed_and_deleted(self, db: Database):
        assert db.write_now(access.put_role, "r1", "Mine", self.DOC, NOW) is False
        assert db.write_now(access.put_role, "r1", "Mine", self.DOC, NOW) is True
        [(role, doc)] = db.read_now(access.custom_roles)
        assert role.permissions == (Permission(("a/*",), ("a/b",)), Permission(data_actions=("c",))) and doc == self.DOC and role.custom
        db.write_now(access.delete_role, "r1", NOW)
        assert db.read_now(access.custom_roles) == []

    def test_a_name_is_of_one_role(self, db: Database):
        db.write_now(access.put_role, "r1", "Mine", self.DOC, NOW)
        with pytest.raises(ArmError) as caught:
            db.write_now(access.put_role, "r2", "MINE", self.DOC, NOW)
        assert (caught.value.status, caught.value.code) == (409, "RoleDefinitionWithSameNameExists")

    def test_one_in_use_stays(self, db: Database):
        db.write_now(access.put_role, "r1", "Mine", self.DOC, NOW)
        given = db.write_now(access.assign, "/subscriptions/s", make(db).id, "r1", NOW)
        with pytest.raises(ArmError) as caught:
            db.write_now(access.delete_role, "r1", NOW)
        assert caught.value.code == "RoleDefinitionHasAssignments"
        db.write_now(access.unassign, given.id, NOW)
        db.write_now(access.delete_role, "r1", NOW)


def test_every_change_leaves_an_event_and_a_new_version(db: Database):
    made = make(db)
    other = make(db, secret="h9")
    given = db.write_now(access.assign, "/subscriptions/s", made.id, READER, NOW, actor="me")
    changes = [
        lambda tx: access.change_assignment(tx, given.id, {"description": "x"}, NOW), lambda tx: access.unassign(tx, given.id, NOW),
        lambda tx: access.put_role(tx, "r", "R", TestRoles.DOC, NOW), lambda tx: access.delete_role(tx, "r", NOW),
        lambda tx: access.set_secret(tx, made.id, "h2", NOW), lambda tx: access.set_enabled(tx, other.id, False, NOW),
    ]
    seen = {db.read_now(access.version)}
    for change in changes:
        db.write_now(change)
        seen.add(db.read_now(access.version))
    assert len(seen) == len(changes) + 1
    rows = db.read_now(lambda tx: tx.execute(sa.select(event.c.actor, event.c.action, event.c.detail).where(event.c.action == "access.assignment.create")).all())
    assert [(r.actor, r.detail["scope"]) for r in rows] == [("me", "/subscriptions/s")]


class TestRunIsOver:
    WORKSPACE = workspace_id("s", "g", "w")

    def job(self, db: Database, status: str) -> None:
        db.write_now(lambda tx: resources.insert(tx, self.WORKSPACE.child("jobs", "J1"), {"properties": {"status": status}}, NOW))

    def run(self, db: Database, id_: str, status: str) -> None:
        def write(tx):
            found = tx.execute(sa.insert(experiment).values(workspace=self.WORKSPACE.key, id="e" + id_, name="e" + id_, stage="active", tags={}, created=NOW, updated=NOW).returning(experiment.c.seq)).scalar_one()
            tx.execute(sa.insert(run).values(workspace=self.WORKSPACE.key, id=id_, experiment=found, name="r", status=status, user="u", started=NOW, is_job=False, stage="active"))

        db.write_now(write)

    @pytest.mark.parametrize(("status", "over"), [("Running", False), ("Preparing", False), ("Finalizing", False), ("CancelRequested", False), ("Completed", True), ("Failed", True), ("Canceled", True)])
    def test_of_a_job_by_its_own_status(self, db: Database, status: str, over: bool):
        self.job(db, status)
        self.run(db, "J1", "FINISHED")  # user code may say so at any time
        assert db.read_now(access.run_is_over, self.WORKSPACE.key, "J1") is over

    @pytest.mark.parametrize(("status", "over"), [("RUNNING", False), ("SCHEDULED", False), ("FINISHED", True), ("FAILED", True), ("KILLED", True)])
    def test_of_a_run_without_job(self, db: Database, status: str, over: bool):
        self.run(db, "r1", status)
        assert db.read_now(access.run_is_over, self.WORKSPACE.key, "r1") is over

    def test_one_that_is_gone_is_over(self, db: Database):
        assert db.read_now(access.run_is_over, self.WORKSPACE.key, "never") is True
