"""Built-in roles: ids, names and actions as Azure's, which clients and scripts refer to by id."""

from __future__ import annotations

from lazward.domain.rbac import Role

_ML = "Microsoft.MachineLearningServices"
_BLOB = "Microsoft.Storage/storageAccounts/blobServices"
_SCIENTIST = tuple(f"{_ML}/workspaces/*/{verb}" for verb in ("read", "action", "delete", "write"))

OWNER = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"
CONTRIBUTOR = "b24988ac-6180-42a0-ab88-20f7382dd24c"
READER = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
DATA_SCIENTIST = "f6c7c914-8db3-469d-8ca1-694a8f32e121"
COMPUTE_OPERATOR = "e503ece1-11d0-4e8e-8e2c-7a6c3bf38815"

BUILT_IN: dict[str, Role] = {role.id: role for role in (
    Role(OWNER, "Owner", "Grants full access to manage all resources, including the ability to assign roles.", ("*",)),
    Role(
        CONTRIBUTOR, "Contributor", "Grants full access to manage all resources, but not to assign roles.", ("*",),
        (
            "Microsoft.Authorization/*/Delete", "Microsoft.Authorization/*/Write", "Microsoft.Authorization/elevateAccess/Action",
            "Microsoft.Blueprint/blueprintAssignments/write", "Microsoft.Blueprint/blueprintAssignments/delete",
            "Microsoft.Compute/galleries/share/action", "Microsoft.Purview/consents/write", "Microsoft.Purview/consents/delete",
            "Microsoft.Resources/deploymentStacks/manageDenySetting/action", "Microsoft.Subscription/cancel/action", "Microsoft.Subscription/enable/action",
        ),
    ),
    Role(READER, "Reader", "View all resources, but make no changes.", ("*/read",)),
    Role("18d7d88d-d35e-4fb5-a5c3-7773c20a72d9", "User Access Administrator", "Manage user access to resources.", ("*/read", "Microsoft.Authorization/*", "Microsoft.Support/*")),
    Role(
        "f58310d9-a9f6-439a-9e8d-f62e7b41a168", "Role Based Access Control Administrator", "Manage access by assigning roles.",
        ("Microsoft.Authorization/roleAssignments/write", "Microsoft.Authorization/roleAssignments/delete", "*/read", "Microsoft.Support/*"),
    ),
    Role(
        DATA_SCIENTIST, "AzureML Data Scientist", "All actions within a workspace, except creating or deleting compute and modifying the workspace.", _SCIENTIST,
        (
            f"{_ML}/workspaces/delete", f"{_ML}/workspaces/write", f"{_ML}/workspaces/computes/*/write", f"{_ML}/workspaces/computes/*/delete",
            f"{_ML}/workspaces/computes/listKeys/action", f"{_ML}/workspaces/listKeys/action", f"{_ML}/workspaces/hubs/write", f"{_ML}/workspaces/hubs/delete",
            f"{_ML}/workspaces/featurestores/write", f"{_ML}/workspaces/featurestores/delete",
        ),
    ),
    Role(COMPUTE_OPERATOR, "AzureML Compute Operator", "CRUD operations on managed compute.", (f"{_ML}/workspaces/computes/*", f"{_ML}/workspaces/notebooks/vm/*")),
    Role("1823dd4f-9b8c-4ab6-ab4e-7397a3684615", "AzureML Registry User", "All actions on registry assets, and reading registries.", (f"{_ML}/registries/read", f"{_ML}/registries/assets/*")),
    Role("635dd51f-9968-44d3-b7fb-6d9a6bd613ae", "AzureML Metrics Writer (preview)", "Write metrics to a workspace.", (f"{_ML}/workspaces/metrics/*/write",)),
    Role(
        "ea01e6af-a1c1-4350-9563-ad00f8c72ec5", "Azure Machine Learning Workspace Connection Secrets Reader", "List secrets of workspace connections.",
        (f"{_ML}/workspaces/connections/listsecrets/action", f"{_ML}/workspaces/metadata/secrets/read"),
    ),
    Role(
        "64702f94-c441-49e6-a78b-ef80e0188fee", "Azure AI Developer", "All actions within a workspace besides managing the workspace itself.",
        (*_SCIENTIST, f"{_ML}/locations/*/read", "Microsoft.Authorization/*/read", "Microsoft.Resources/deployments/*"),
        (
            f"{_ML}/workspaces/delete", f"{_ML}/workspaces/write", f"{_ML}/workspaces/listKeys/action", f"{_ML}/workspaces/hubs/write", f"{_ML}/workspaces/hubs/delete",
            f"{_ML}/workspaces/featurestores/write", f"{_ML}/workspaces/featurestores/delete", f"{_ML}/workspaces/evaluations/results/labels/read",
            f"{_ML}/workspaces/evaluations/results/reasonings/read", f"{_ML}/workspaces/simulations/results/images/read",
        ),
        tuple(f"Microsoft.CognitiveServices/accounts/{x}/*" for x in ("OpenAI", "SpeechServices", "ContentSafety", "MaaS")),
        ("Microsoft.CognitiveServices/accounts/OpenAI/fine-tunes-deployments/write",),
    ),
    Role(
        "ba92f5b4-2d11-453d-a403-e96b0029c9fe", "Storage Blob Data Contributor", "Read, write and delete blob containers and data.",
        (f"{_BLOB}/containers/delete", f"{_BLOB}/containers/read", f"{_BLOB}/containers/write", f"{_BLOB}/generateUserDelegationKey/action"), (),
        tuple(f"{_BLOB}/containers/blobs/{x}" for x in ("delete", "read", "write", "move/action", "add/action")),
    ),
    Role(
        "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1", "Storage Blob Data Reader", "Read blob containers and data.",
        (f"{_BLOB}/containers/read", f"{_BLOB}/generateUserDelegationKey/action"), (), (f"{_BLOB}/containers/blobs/read",),
    ),
    Role("b7e6dc6d-f1e8-4753-8033-0f276bb0955b", "Storage Blob Data Owner", "Full access to blob containers and data.", (f"{_BLOB}/containers/*", f"{_BLOB}/generateUserDelegationKey/action"), (), (f"{_BLOB}/containers/blobs/*",)),
)}
