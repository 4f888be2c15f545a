from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from lazward.domain.rbac_roles import (
    BUILT_IN,
    CONTRIBUTOR,
    DATA_SCIENTIST,
    OWNER,
    RBAC_ADMINISTRATOR,
    READER,
    USER_ACCESS_ADMINISTRATOR,
)
from tests.apps.identity_app import AT_GROUP, AT_SUB, AT_WS, SUB, World, world_in

OWN = "/providers/Microsoft.Authorization"

NOBODY = "99999999-9999-4999-8999-999999999999"  # fixed: test ids must be the same in every process


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with world_in(tmp_path) as world:
        yield world


def wanted(role: str, principal: str, **more: str) -> dict:
    return {"properties": {"roleDefinitionId": f"{AT_SUB}{OWN}/roleDefinitions/{role}", "principalId": principal, **more}}


def path(scope: str, name: str = "", kind: str = "roleAssignments") -> str:
    return f"{scope}{OWN}/{kind}" + (f"/{name}" if name else "")


def new_id() -> str:
    return str(uuid.uuid4())


class TestPutAssignment:
    async def test_new_same_and_other(self, world: World):
        someone, name = world.principal("someone"), new_id()
        made = await world.arm("PUT", path(AT_WS, name), body=wanted(READER, someone.id, principalType="ServicePrincipal", description="why"))
        assert made.status_code == 201, made.text
        assert made.json() == {
            "id": f"{AT_WS}{OWN}/roleAssignments/{name}", "type": "Microsoft.Authorization/roleAssignments", "name": name,
            "properties": made.json()["properties"] | {
                "roleDefinitionId": f"{AT_SUB}{OWN}/roleDefinitions/{READER}", "principalId": someone.id, "principalType": "ServicePrincipal", "scope": AT_WS,
                "description": "why", "createdBy": world.owner.id, "condition": None,
            },
        }
        again = await world.arm("PUT", path(AT_WS.lower(), name.upper()), body=wanted(READER, someone.id, description="why"))
        assert (again.status_code, again.json()) == (200, made.json())
        for scope, body in ((AT_WS, wanted(OWNER, someone.id)), (AT_WS, wanted(READER, world.owner.id)), (AT_GROUP, wanted(READER, someone.id))):
            other = await world.arm("PUT", path(scope, name), body=body)
            assert (other.status_code, other.json()["error"]["code"]) == (409, "RoleAssignmentUpdateNotPermitted")
        second = await world.arm("PUT", path(AT_WS, new_id()), body=wanted(READER, someone.id))
        assert (second.status_code, second.json()["error"]["code"]) == (409, "RoleAssignmentExists")
        assert second.headers["x-ms-error-code"] == "RoleAssignmentExists"

    async def test_the_description_may_change(self, world: World):
        someone, name = world.principal("someone"), new_id()
        await world.arm("PUT", path(AT_WS, name), body=wanted(READER, someone.id))
        changed = await world.arm("PUT", path(AT_WS, name), body=wanted(READER, someone.id, description="now I know"))
        assert changed.status_code == 200 and changed.json()["properties"]["description"] == "now I know"

    async def test_holds_from_the_next_request_on(self, world: World):
        someone, name = world.principal("someone"), new_id()
        assert (await world.arm("GET", AT_GROUP, someone)).status_code == 403
        await world.arm("PUT", path(AT_GROUP, name), body=wanted(READER, someone.id))
        assert (await world.arm("GET", AT_GROUP, someone)).status_code == 200
        assert (await world.arm("DELETE", path(AT_GROUP, name))).status_code == 200
        assert (await world.arm("GET", AT_GROUP, someone)).status_code == 403

    async def test_at_everything(self, world: World):
        someone, name = world.principal("someone"), new_id()
        made = await world.arm("PUT", path("", name), body={"properties": {"roleDefinitionId": f"{OWN}/roleDefinitions/{READER}", "principalId": someone.id}})
        assert made.status_code == 201 and made.json()["id"] == f"{OWN}/roleAssignments/{name}" and made.json()["properties"]["scope"] == "/"
        assert made.json()["properties"]["roleDefinitionId"] == f"{OWN}/roleDefinitions/{READER}"

    @pytest.mark.parametrize(("change", "status", "code"), [
        ({"roleDefinitionId": None}, 400, "InvalidRoleDefinitionId"), ({"roleDefinitionId": "Reader"}, 400, "InvalidRoleDefinitionId"), ({"principalId": "me"}, 400, "InvalidPrincipalId"),
        ({"principalId": None}, 400, "InvalidPrincipalId"), ({"principalId": 3}, 400, "InvalidRequestContent"), ({"roleDefinitionId": f"/x/{NOBODY}"}, 404, "RoleDefinitionDoesNotExist"),
        ({"principalId": NOBODY}, 400, "PrincipalNotFound"), ({"principalId": NOBODY, "principalType": "Group"}, 400, "PrincipalNotFound"),
        ({"principalType": "User"}, 400, "UnmatchedPrincipalType"), ({"condition": "@Resource[x] StringEquals 'y'", "conditionVersion": "2.0"}, 501, "NotImplemented"),
    ])
    async def test_what_cannot_be(self, world: World, change: dict, status: int, code: str):
        body = wanted(READER, world.principal("someone").id)
        body["properties"] |= change
        answer = await world.arm("PUT", path(AT_WS, new_id()), body=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), answer.text

    async def test_a_client_id_is_told_from_an_object_id(self, world: World):
        someone = world.principal("someone")
        answer = await world.arm("PUT", path(AT_WS, new_id()), body=wanted(READER, someone.app_id or ""))
        assert answer.status_code == 400 and someone.id in answer.json()["error"]["message"]

    async def test_an_identity_that_is_not_in_the_directory_needs_its_type(self, world: World):
        body = wanted(READER, new_id(), principalType="ServicePrincipal")
        assert (await world.arm("PUT", path(AT_WS, new_id()), body=body)).status_code == 201

    @pytest.mark.parametrize(("scope", "name", "status", "code"), [
        (AT_WS, "not-a-guid", 400, "InvalidRoleAssignmentId"), (f"/subscriptions/{NOBODY}", NOBODY, 404, "SubscriptionNotFound"),
        (AT_SUB + "/resourceGroups/nope", NOBODY, 404, "ResourceGroupNotFound"), (AT_GROUP + "/providers/Microsoft.X/things", NOBODY, 400, "InvalidScope"),
    ])
    async def test_where_it_cannot_be(self, world: World, scope: str, name: str, status: int, code: str):
        answer = await world.arm("PUT", path(scope, name), body=wanted(READER, world.principal("someone").id))
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)

    @pytest.mark.parametrize("body", [None, [], "x", {"properties": []}])
    async def test_a_body_that_is_none(self, world: World, body: object):
        assert (await world.arm("PUT", path(AT_WS, new_id()), body=body)).status_code == 400

    async def test_api_version_is_required(self, world: World):
        answer = await world.arm("PUT", path(AT_WS, new_id()), body=wanted(READER, world.owner.id), query="")
        assert answer.json()["error"]["code"] == "MissingApiVersionParameter"


class TestWhoMayAssign:
    @pytest.mark.parametrize(("role", "status"), [(OWNER, 201), (USER_ACCESS_ADMINISTRATOR, 201), (RBAC_ADMINISTRATOR, 201), (CONTRIBUTOR, 403), (READER, 403), (DATA_SCIENTIST, 403)])
    async def test_s5_by_role(self, world: World, role: str, status: int):
        actor, someone = world.principal("actor", role, AT_GROUP), world.principal("someone")
        answer = await world.arm("PUT", path(AT_WS, new_id()), actor, wanted(READER, someone.id))
        assert answer.status_code == status
        if status == 403:
            error = answer.json()["error"]
            assert error["code"] == "AuthorizationFailed" and "Microsoft.Authorization/roleAssignments/write" in error["message"] and "actor" in error["message"]

    async def test_s5_nobody_reaches_above_or_beside_their_scope(self, world: World):
        actor, someone = world.principal("actor", OWNER, AT_WS), world.principal("someone")
        for scope in ("", AT_SUB, AT_GROUP, AT_WS + "2"):
            assert (await world.arm("PUT", path(scope, new_id()), actor, wanted(READER, someone.id))).status_code == 403, scope
        assert (await world.arm("PUT", path(AT_WS + "/jobs/j", new_id()), actor, wanted(READER, someone.id))).status_code == 201

    async def test_s5_an_assignment_is_reached_at_its_own_scope_only(self, world: World):
        """Else who owns a workspace could delete what was assigned at the subscription, by its guid."""
        actor, name = world.principal("actor", OWNER, AT_WS), new_id()
        await world.arm("PUT", path(AT_SUB, name), body=wanted(READER, world.principal("someone").id))
        assert (await world.arm("DELETE", path(AT_WS, name), actor)).status_code == 204
        assert (await world.arm("GET", path(AT_WS, name), actor)).status_code == 404
        assert (await world.arm("GET", path(AT_SUB, name))).status_code == 200

    async def test_s5_a_job_gives_no_rights(self, world: World):
        world.set_job("j1", "Running")
        someone = world.principal("someone")
        limits = {"bound_to": AT_WS.lower(), "run": "j1"}
        assert (await world.arm("PUT", path(AT_WS, new_id()), world.owner, wanted(READER, someone.id), **limits)).status_code == 403
        assert (await world.arm("GET", path(AT_WS), world.owner, **limits)).status_code == 200
        assert (await world.arm("GET", path(AT_SUB), world.owner, **limits)).status_code == 403


class TestListAndDeleteAssignments:
    async def test_lists_at_above_and_below(self, world: World):
        someone = world.principal("someone")
        for scope in (AT_SUB, AT_GROUP, AT_WS):
            await world.arm("PUT", path(scope, new_id()), body=wanted(READER, someone.id))

        async def scopes(scope: str, filter_: str = "") -> list[str]:
            answer = await world.arm("GET", path(scope), query=f"api-version=2022-04-01&$filter={filter_}")
            assert answer.status_code == 200, answer.text
            return [a["properties"]["scope"] for a in answer.json()["value"]]

        assert await scopes(AT_GROUP) == ["/", AT_SUB, AT_GROUP, AT_WS]
        assert await scopes(AT_GROUP, "atScope()") == ["/", AT_SUB, AT_GROUP]
        assert await scopes(AT_GROUP, f"atScope() and assignedTo('{someone.id}')") == [AT_SUB, AT_GROUP]
        assert await scopes("", f"principalId eq '{someone.id}'") == [AT_SUB, AT_GROUP, AT_WS]
        bad = await world.arm("GET", path(AT_SUB), query="api-version=2022-04-01&$filter=principalId eq 'a' or true")
        assert (bad.status_code, bad.json()["error"]["target"]) == (400, "$filter")

    async def test_delete_answers_what_it_was_then_204(self, world: World):
        name = new_id()
        made = await world.arm("PUT", path(AT_WS, name), body=wanted(READER, world.principal("someone").id))
        gone = await world.arm("DELETE", path(AT_WS, name))
        assert (gone.status_code, gone.json()) == (200, made.json())
        assert (await world.arm("DELETE", path(AT_WS, name))).status_code == 204
        missing = await world.arm("GET", path(AT_WS, name))
        assert (missing.status_code, missing.json()["error"]["code"]) == (404, "RoleAssignmentNotFound")

    async def test_the_last_owner_of_everything_stays(self, world: World):
        [mine] = (await world.arm("GET", path(""), query="api-version=2022-04-01&$filter=atScope()")).json()["value"]
        answer = await world.arm("DELETE", mine["id"])
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "LastOwnerCannotBeRemoved")
        await world.arm("PUT", path("", new_id()), body=wanted(OWNER, world.principal("second").id))
        assert (await world.arm("DELETE", mine["id"])).status_code == 200
        assert (await world.arm("GET", path(""))).status_code == 403  # and so it is


class TestRoleDefinitions:
    ROLE: ClassVar[dict[str, Any]] = {"properties": {"roleName": "Job Watcher", "description": "d", "type": "CustomRole", "assignableScopes": [AT_SUB], "permissions": [
        {"actions": ["Microsoft.MachineLearningServices/workspaces/jobs/read"], "notActions": [], "dataActions": [], "notDataActions": []}]}}

    async def names(self, world: World, scope: str, filter_: str = "") -> list[str]:
        answer = await world.arm("GET", path(scope, kind="roleDefinitions"), query=f"api-version=2022-04-01&$filter={filter_}")
        assert answer.status_code == 200, answer.text
        return [r["properties"]["roleName"] for r in answer.json()["value"]]

    async def test_built_in(self, world: World):
        assert len(await self.names(world, AT_SUB)) == len(BUILT_IN)
        assert await self.names(world, AT_SUB, "roleName eq 'contributor'") == ["Contributor"]
        assert await self.names(world, AT_SUB, "type eq 'CustomRole'") == []
        one = (await world.arm("GET", path(AT_SUB, OWNER, "roleDefinitions"))).json()
        assert one["id"] == f"{AT_SUB}{OWN}/roleDefinitions/{OWNER}" and one["properties"]["permissions"] == [{"actions": ["*"], "notActions": [], "dataActions": [], "notDataActions": []}]
        assert one["properties"]["type"] == "BuiltInRole" and one["properties"]["assignableScopes"] == ["/"]

    async def test_a_custom_role_grants_what_it_says(self, world: World):
        role, someone = new_id(), world.principal("someone")
        made = await world.arm("PUT", path(AT_SUB, role, "roleDefinitions"), body=self.ROLE)
        assert made.status_code == 201 and made.json()["properties"]["type"] == "CustomRole", made.text
        assert made.json()["properties"]["permissions"] == self.ROLE["properties"]["permissions"]
        await world.arm("PUT", path(AT_WS, new_id()), body=wanted(role, someone.id))
        caller = world.authority.caller_of(someone)
        assert await world.authority.allowed(caller, "Microsoft.MachineLearningServices/workspaces/jobs/read", AT_WS)
        assert not await world.authority.allowed(caller, "Microsoft.MachineLearningServices/workspaces/jobs/write", AT_WS)
        wider = {"properties": self.ROLE["properties"] | {"permissions": [{"actions": ["*/write"]}]}}
        assert (await world.arm("PUT", path(AT_SUB, role, "roleDefinitions"), body=wider)).status_code == 201
        assert await world.authority.allowed(caller, "Microsoft.MachineLearningServices/workspaces/jobs/write", AT_WS)
        used = await world.arm("DELETE", path(AT_SUB, role, "roleDefinitions"))
        assert (used.status_code, used.json()["error"]["code"]) == (400, "RoleDefinitionHasAssignments")

    async def test_is_listed_where_it_can_be_assigned(self, world: World):
        role = {"properties": self.ROLE["properties"] | {"assignableScopes": [AT_GROUP]}}
        await world.arm("PUT", path(AT_GROUP, new_id(), "roleDefinitions"), body=role)
        custom = "type eq 'CustomRole'"
        assert await self.names(world, AT_WS, custom) == await self.names(world, AT_SUB, custom) == ["Job Watcher"]
        assert await self.names(world, AT_SUB, f"atScope() and {custom}") == []
        [found] = (await world.arm("GET", path(AT_GROUP, kind="roleDefinitions"), query=f"api-version=2022-04-01&$filter={custom}")).json()["value"]
        answer = await world.arm("PUT", path(AT_SUB, new_id()), body=wanted(found["name"], world.principal("someone").id))
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "RoleDefinitionNotAssignableAtScope")

    async def test_names_are_once(self, world: World):
        await world.arm("PUT", path(AT_SUB, new_id(), "roleDefinitions"), body=self.ROLE)
        for name in ("job watcher", "Owner"):
            answer = await world.arm("PUT", path(AT_SUB, new_id(), "roleDefinitions"), body={"properties": self.ROLE["properties"] | {"roleName": name}})
            assert (answer.status_code, answer.json()["error"]["code"]) == (409, "RoleDefinitionWithSameNameExists")

    async def test_delete(self, world: World):
        role = new_id()
        await world.arm("PUT", path(AT_SUB, role, "roleDefinitions"), body=self.ROLE)
        assert (await world.arm("DELETE", path(AT_SUB, role, "roleDefinitions"))).json()["name"] == role
        assert (await world.arm("DELETE", path(AT_SUB, role, "roleDefinitions"))).status_code == 204
        assert (await world.arm("GET", path(AT_SUB, role, "roleDefinitions"))).status_code == 404

    @pytest.mark.parametrize("method", ["PUT", "DELETE"])
    async def test_built_in_roles_stay_as_they_are(self, world: World, method: str):
        answer = await world.arm(method, path(AT_SUB, READER, "roleDefinitions"), body=self.ROLE)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "BuiltInRoleCannotBeModified")

    async def test_s5_a_role_is_written_by_who_may_at_every_scope_it_reaches(self, world: World):
        actor, role = world.principal("actor", OWNER, AT_GROUP), new_id()
        assert (await world.arm("PUT", path(AT_GROUP, role, "roleDefinitions"), actor, self.ROLE)).status_code == 403
        mine = {"properties": self.ROLE["properties"] | {"assignableScopes": [AT_GROUP]}}
        assert (await world.arm("PUT", path(AT_GROUP, role, "roleDefinitions"), actor, mine)).status_code == 201
        # One that reaches further can be neither taken over nor deleted from inside.
        far = new_id()
        assert (await world.arm("PUT", path(AT_SUB, far, "roleDefinitions"), body=self.ROLE | {"properties": self.ROLE["properties"] | {"roleName": "Far"}})).status_code == 201
        taken = {"properties": mine["properties"] | {"roleName": "Far"}}
        assert (await world.arm("PUT", path(AT_GROUP, far, "roleDefinitions"), actor, taken)).status_code == 403
        assert (await world.arm("DELETE", path(AT_GROUP, far, "roleDefinitions"), actor)).status_code == 403


class TestTheRest:
    async def test_permissions_are_the_callers_own(self, world: World):
        someone, stranger = world.principal("someone", DATA_SCIENTIST, AT_WS), world.principal("stranger")
        mine = (await world.arm("GET", path(AT_WS, kind="permissions"), someone)).json()["value"]
        assert len(mine) == 1 and "Microsoft.MachineLearningServices/workspaces/*/read" in mine[0]["actions"] and len(mine[0]["notActions"]) == 10
        assert (await world.arm("GET", path(AT_WS, kind="permissions"), stranger)).json() == {"value": []}

    @pytest.mark.parametrize(("kind", "code"), [("denyAssignments", "DenyAssignmentNotFound"), ("locks", "LockNotFound")])
    async def test_what_is_not_built_says_so(self, world: World, kind: str, code: str):
        reader = world.principal("reader", READER, AT_SUB)
        assert (await world.arm("GET", path(AT_WS, kind=kind), reader)).json() == {"value": []}
        assert (await world.arm("GET", path(AT_WS, "x", kind), reader)).json()["error"]["code"] == code
        assert (await world.arm("PUT", path(AT_WS, "x", kind), body={})).status_code == 501
        assert (await world.arm("PUT", path(AT_WS, "x", kind), reader, {})).status_code == 403
        assert (await world.arm("GET", path(AT_WS, kind=kind), world.principal("stranger"))).status_code == 403

    async def test_deleting_a_lock_that_is_not_there(self, world: World):
        assert (await world.arm("DELETE", path(AT_WS, "x", "locks"))).status_code == 204
        assert (await world.arm("DELETE", path(AT_WS, "x", "denyAssignments"))).status_code == 405
        assert (await world.arm("PUT", path(AT_WS, "x", "permissions"), body={})).status_code == 405

    async def test_provider_operations(self, world: World):
        everything = (await world.arm("GET", f"{OWN}/providerOperations", query="api-version=2022-04-01&$expand=resourceTypes")).json()["value"]
        assert {"Microsoft.MachineLearningServices", "Microsoft.Authorization", "Microsoft.Storage"} <= {p["name"] for p in everything}
        ml = (await world.arm("GET", f"{OWN}/providerOperations/microsoft.machinelearningservices")).json()
        jobs = next(kind for kind in ml["resourceTypes"] if kind["name"] == "workspaces/jobs")
        assert {op["name"].rsplit("/jobs/")[1] for op in jobs["operations"]} == {"read", "write", "delete", "cancel/action"}
        assert (await world.arm("GET", f"{OWN}/providerOperations/No.Such")).status_code == 404

    async def test_spelling_of_the_path_does_not_count(self, world: World):
        answer = await world.arm("GET", f"/SUBSCRIPTIONS/{SUB}//resourcegroups/G/PROVIDERS/microsoft.authorization/ROLEASSIGNMENTS/")
        assert answer.status_code == 200
