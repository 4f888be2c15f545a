from __future__ import annotations

import itertools
import re
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lazward.contract.errors import ArmError
from lazward.domain import rbac
from lazward.domain.rbac import Assignment, Permission, Role

ML = "Microsoft.MachineLearningServices"


def literal(pattern: str, action: str) -> bool:
    """The first reading: `*` keeps its slashes."""
    return re.fullmatch(".*".join(map(re.escape, pattern.lower().split("*"))), action.lower(), re.DOTALL) is not None


def readings(pattern: str) -> set[str]:
    """The pattern, and it with every choice of '/*/' read as '/'."""
    found, todo = {pattern}, [pattern]
    while todo:
        text = todo.pop()
        for at in (m.start() for m in re.finditer(r"(?=/\*/)", text)):
            other = text[:at] + "/" + text[at + 3:]
            if other not in found:
                found.add(other)
                todo.append(other)
    return found


class TestMatches:
    @pytest.mark.parametrize(("pattern", "action"), [
        ("*", "a/b/c/read"), ("*/read", f"{ML}/workspaces/read"), (f"{ML}/workspaces/*/read", f"{ML}/workspaces/jobs/read"),
        (f"{ML}/workspaces/*/read", f"{ML}/workspaces/data/versions/read"), (f"{ML}/workspaces/*/read", f"{ML}/workspaces/read"),
        ("microsoft.AUTHORIZATION/*/Write", "Microsoft.Authorization/roleAssignments/write"), ("a/b", "A/B"), ("a/*", "a/"), ("a/*/b/*/c", "a/b/c"),
    ])
    def test_covers(self, pattern: str, action: str):
        assert rbac.matches(pattern, action)

    @pytest.mark.parametrize(("pattern", "action"), [
        ("*/read", "a/readers"), ("*/read", "read"), (f"{ML}/workspaces/*/read", f"{ML}/workspacesX/read"), ("a/*/b", "ab"), ("a/*/b", "a/b/c"), ("a", "a/b"),
        ("a/*", "a"), ("a.c", "abc"), ("", "a"), ("*a", "ab"), ("ab*ba", "aba"), ("x/ab*ba", "x/aba"),
    ])
    def test_does_not_cover(self, pattern: str, action: str):
        assert not rbac.matches(pattern, action)

    @given(st.text("ab/*", max_size=9), st.text("ab/", max_size=9))
    def test_is_one_of_the_readings(self, pattern: str, action: str):
        assert rbac.matches(pattern, action) == any(literal(reading, action) for reading in readings(pattern))

    def test_a_hostile_pattern_is_answered(self):
        # Backtracking would take longer than the universe has.
        assert not rbac.matches("a*" * 128 + "c", "a" * 2000 + "b")


names = st.sampled_from(["a", "b", "c"])
actions = st.lists(names, min_size=2, max_size=4).map("/".join)
patterns = st.lists(st.sampled_from(["a", "b", "c", "*"]), min_size=1, max_size=4).map("/".join)
pattern_lists = st.lists(patterns, max_size=3).map(tuple)
permissions = st.builds(Permission, pattern_lists, pattern_lists, pattern_lists, pattern_lists)
roles = st.lists(permissions, max_size=3).map(lambda ps: Role("r", "r", permissions=tuple(ps)))
scopes = st.lists(names, max_size=4).map(lambda parts: "/" + "/".join(parts))


class TestEffective:
    @given(roles, actions)
    def test_not_actions_take_away_within_their_entry_only(self, role: Role, action: str):
        each = [rbac.effective(Role("x", "x", permissions=(p,)), action) for p in role.permissions]
        assert rbac.effective(role, action) == any(each)

    @given(permissions, actions)
    def test_what_not_actions_cover_is_never_granted(self, permission: Permission, action: str):
        if any(rbac.matches(p, action) for p in permission.not_actions):
            assert not rbac.grants(permission, action)

    @given(pattern_lists, pattern_lists, actions)
    def test_actions_say_nothing_about_data(self, yes: tuple[str, ...], no: tuple[str, ...], action: str):
        assert not rbac.grants(Permission(yes, no), action, data=True)
        assert not rbac.grants(Permission((), (), yes, no), action, data=False)


class TestScopes:
    def test_from_a_job_up(self):
        scope = f"/subscriptions/S/resourceGroups/g/providers/{ML}/workspaces/w/jobs/j"
        above = list(rbac.scopes_above(scope))
        assert above[0] == scope.lower() and above[-1] == "/"
        assert {"/subscriptions/s", "/subscriptions/s/resourcegroups/g", f"/subscriptions/s/resourcegroups/g/providers/{ML.lower()}/workspaces/w"} <= set(above)

    @given(scopes, scopes)
    def test_within_and_above_say_the_same(self, scope: str, bound: str):
        assert rbac.within(scope, bound) == (rbac.normal_scope(bound) in list(rbac.scopes_above(scope)))

    def test_a_name_that_begins_alike_is_not_inside(self):
        assert not rbac.within("/subscriptions/s/resourceGroups/prod2", "/subscriptions/s/resourceGroups/prod")

    @pytest.mark.parametrize("spelled", ["/Subscriptions/S", "/subscriptions/s/", "//subscriptions//s", "subscriptions/s"])
    def test_spelling_does_not_count(self, spelled: str):
        assert rbac.normal_scope(spelled) == "/subscriptions/s"


class TestAllowed:
    ROLES: ClassVar[dict[str, Any]] = {"reader": Role("reader", "Reader", permissions=(Permission(("*/read",)),)), "writer": Role("writer", "Writer", permissions=(Permission(("*/write",)),))}

    @given(st.lists(st.tuples(scopes, st.sampled_from(["reader", "writer", "gone"])), max_size=5), scopes, st.sampled_from(["a/read", "a/write"]))
    def test_is_what_any_assignment_at_or_above_grants(self, given_: list[tuple[str, str]], scope: str, action: str):
        held = [Assignment(str(i), at, "p", role) for i, (at, role) in enumerate(given_)]
        expected = any(
            rbac.within(scope, at) and role in self.ROLES and rbac.effective(self.ROLES[role], action) for at, role in given_
        )
        assert rbac.allowed(held, self.ROLES, action, scope) == expected

    @given(st.lists(st.tuples(scopes, st.sampled_from(["reader", "writer"])), max_size=5), scopes)
    def test_more_assignments_never_take_away(self, given_: list[tuple[str, str]], scope: str):
        held = [Assignment(str(i), at, "p", role) for i, (at, role) in enumerate(given_)]
        for action in ("a/read", "a/write"):
            answers = [rbac.allowed(held[:n], self.ROLES, action, scope) for n in range(len(held) + 1)]
            assert all(not before or after for before, after in itertools.pairwise(answers))


class TestCustomRole:
    GUID = "11111111-2222-3333-4444-555555555555"
    GOOD: ClassVar[dict[str, Any]] = {"roleName": "Mine", "permissions": [{"actions": ["A.B/*/read"], "notActions": None}], "assignableScopes": ["/subscriptions/s/"], "type": "CustomRole"}

    def test_good(self):
        role = rbac.custom_role(self.GUID.upper(), self.GOOD)
        assert role == Role(self.GUID, "Mine", "", (Permission(("A.B/*/read",)),), True, ("/subscriptions/s",))

    @pytest.mark.parametrize(("change", "target"), [
        ({"roleName": " "}, "properties.roleName"), ({"roleName": 3}, "properties.roleName"), ({"roleName": "a\nb"}, "properties.roleName"),
        ({"permissions": []}, "properties.permissions"), ({"permissions": [3]}, "properties.permissions[0]"),
        ({"permissions": [{"actions": "*"}]}, "properties.permissions[0].actions"), ({"permissions": [{}, {"notActions": ["a b"]}]}, "properties.permissions[1].notActions"),
        ({"permissions": [{"dataActions": ["/a"]}]}, "properties.permissions[0].dataActions"), ({"permissions": [{"actions": ["a" * 257]}]}, "properties.permissions[0].actions"),
        ({"permissions": [{"actions": ["a"] * 600}, {"actions": ["a"] * 600}]}, "properties.permissions"),
        ({"assignableScopes": []}, "properties.assignableScopes"), ({"assignableScopes": ["/"]}, "properties.assignableScopes"),
        ({"assignableScopes": ["nonsense"]}, "properties.assignableScopes"), ({"type": "BuiltInRole"}, "properties.type"), ({"description": [1]}, "properties.description"),
    ])
    def test_says_what_is_wrong(self, change: dict, target: str):
        with pytest.raises(ArmError) as caught:
            rbac.custom_role(self.GUID, {**self.GOOD, **change})
        assert (caught.value.status, caught.value.target) == (400, target)

    @pytest.mark.parametrize("body", [None, [], "x"])
    def test_no_properties(self, body: object):
        with pytest.raises(ArmError):
            rbac.custom_role(self.GUID, body)

    def test_may_be_assigned_inside_its_scopes_only(self):
        role = rbac.custom_role(self.GUID, self.GOOD)
        assert rbac.may_be_assigned(role, "/subscriptions/S/resourceGroups/g") and not rbac.may_be_assigned(role, "/subscriptions/s2")
        assert not rbac.may_be_assigned(role, "/")


class TestFilter:
    @pytest.mark.parametrize(("text", "wanted"), [
        (None, rbac.ListFilter()), ("atScope()", rbac.ListFilter(at_scope=True)), ("atscope() and principalId eq 'P'", rbac.ListFilter(at_scope=True, principal="P")),
        ("assignedTo('x')", rbac.ListFilter(principal="x")), ("roleName eq 'O''Hara'", rbac.ListFilter(role_name="O'Hara")),
        ("type eq 'BuiltInRole' AND atScopeAndBelow()", rbac.ListFilter(kind="BuiltInRole")),
    ])
    def test_understood(self, text: str | None, wanted: rbac.ListFilter):
        assert rbac.parse_filter(text) == wanted

    @pytest.mark.parametrize("text", ["principalId ne 'x'", "atScope() or atScope()", "atScope() and", "principalId eq x", "a" * 3000, "atScope()atScope()"])
    def test_not_understood_is_refused_not_ignored(self, text: str):
        with pytest.raises(ArmError) as caught:
            rbac.parse_filter(text)
        assert caught.value.target == "$filter"

    @given(st.text(max_size=40))
    def test_any_text_is_parsed_or_refused(self, text: str):
        try:
            rbac.parse_filter(text)
        except ArmError as error:
            assert error.status == 400
