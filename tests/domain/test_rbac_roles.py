"""The roles grant as many of Azure's operations as theirs do, and what people rely on."""

from __future__ import annotations

import pytest

from lazward.domain import rbac, rbac_roles
from lazward.domain.rbac_operations import DATA_OPERATIONS, ML_OPERATIONS
from lazward.domain.rbac_roles import BUILT_IN

ML = "Microsoft.MachineLearningServices/workspaces"
BY_NAME = {role.name: role for role in BUILT_IN.values()}


# Counted on Azure's own lists; for roles with `workspaces/*/x` in the second reading (docs/decisions/0016-rbac.md).
@pytest.mark.parametrize(("name", "count"), [
    ("Owner", 279), ("Contributor", 279), ("Reader", 100), ("AzureML Data Scientist", 234), ("AzureML Compute Operator", 17), ("AzureML Registry User", 5),
    ("AzureML Metrics Writer (preview)", 1), ("Azure AI Administrator", 244), ("Azure AI Inference Deployment Operator", 0), ("Azure AI Developer", 244),
])
def test_operations_granted(name: str, count: int):
    assert sum(rbac.effective(BY_NAME[name], operation) for operation in ML_OPERATIONS) == count


def test_ids_are_guids_and_names_are_unique():
    assert all(rbac.is_guid(guid) and guid == guid.lower() == role.id and not role.custom for guid, role in BUILT_IN.items())
    assert len(BY_NAME) == len(BUILT_IN)


def test_every_pattern_has_the_form_that_custom_roles_must_have():
    for role in BUILT_IN.values():
        rbac.custom_role(role.id, {"roleName": role.name, "assignableScopes": ["/subscriptions/s"], "permissions": [
            {"actions": list(p.actions), "notActions": list(p.not_actions), "dataActions": list(p.data_actions), "notDataActions": list(p.not_data_actions)} for p in role.permissions
        ]})


@pytest.mark.parametrize("name", ["Owner", "Contributor", "Reader", "AzureML Data Scientist", "User Access Administrator"])
def test_no_management_role_opens_blobs(name: str):
    assert not any(rbac.effective(BY_NAME[name], operation, data=True) for operation in DATA_OPERATIONS)


@pytest.mark.parametrize(("role", "granted"), [
    (rbac_roles.BLOB_DATA_OWNER, {"read", "write", "delete", "move/action", "add/action"}), (rbac_roles.BLOB_DATA_READER, {"read"}),
    (rbac_roles.BLOB_DATA_CONTRIBUTOR, {"read", "write", "delete", "move/action", "add/action"}),
])
def test_blob_roles(role: str, granted: set[str]):
    assert {op.split("/blobs/")[1] for op in DATA_OPERATIONS if rbac.effective(BUILT_IN[role], op, data=True)} == granted


@pytest.mark.parametrize(("action", "may"), [
    (f"{ML}/read", True), (f"{ML}/write", False), (f"{ML}/delete", False), (f"{ML}/jobs/write", True), (f"{ML}/computes/write", False), (f"{ML}/computes/delete", False),
    (f"{ML}/computes/start/action", True), (f"{ML}/computes/listKeys/action", False), (f"{ML}/listKeys/action", False), (f"{ML}/datastores/listSecrets/action", True),
    ("Microsoft.Authorization/roleAssignments/write", False), ("Microsoft.Resources/subscriptions/resourceGroups/read", False),
])
def test_data_scientist_as_microsoft_describes_it(action: str, may: bool):
    assert rbac.effective(BUILT_IN[rbac_roles.DATA_SCIENTIST], action) == may


@pytest.mark.parametrize("action", ["Microsoft.Authorization/roleAssignments/write", "Microsoft.Authorization/roleDefinitions/delete", "Microsoft.Authorization/elevateAccess/action"])
def test_contributor_gives_no_access_to_others(action: str):
    assert not rbac.effective(BUILT_IN[rbac_roles.CONTRIBUTOR], action)
    assert rbac.effective(BUILT_IN[rbac_roles.OWNER], action)
