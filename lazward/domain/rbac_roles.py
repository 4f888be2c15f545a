"""Built-in roles: ids, names and actions as Azure's, which clients and scripts refer to by id and name. Descriptions are ours."""

from __future__ import annotations

from lazward.domain.rbac import Permission, Role
from lazward.domain.rbac_operations import expand

OWNER = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"
CONTRIBUTOR = "b24988ac-6180-42a0-ab88-20f7382dd24c"
READER = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
USER_ACCESS_ADMINISTRATOR = "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9"
RBAC_ADMINISTRATOR = "f58310d9-a9f6-439a-9e8d-f62e7b41a168"
DATA_SCIENTIST = "f6c7c914-8db3-469d-8ca1-694a8f32e121"
COMPUTE_OPERATOR = "e503ece1-11d0-4e8e-8e2c-7a6c3bf38815"
REGISTRY_USER = "1823dd4f-9b8c-4ab6-ab4e-7397a3684615"
METRICS_WRITER = "635dd51f-9968-44d3-b7fb-6d9a6bd613ae"
CONNECTION_SECRETS_READER = "ea01e6af-a1c1-4350-9563-ad00f8c72ec5"
AI_DEVELOPER = "64702f94-c441-49e6-a78b-ef80e0188fee"
AI_ADMINISTRATOR = "b78c5d69-af96-48a3-bf8d-a8b4d589de94"
INFERENCE_DEPLOYMENT_OPERATOR = "3afb7f49-54cb-416e-8c09-6dc049efa503"
BLOB_DATA_OWNER = "b7e6dc6d-f1e8-4753-8033-0f276bb0955b"
BLOB_DATA_CONTRIBUTOR = "ba92f5b4-2d11-453d-a403-e96b0029c9fe"
BLOB_DATA_READER = "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1"

BUILT_IN: dict[str, Role] = {}


def _role(role_id: str, name: str, description: str, actions: str, *, but: str = "", data: str = "", data_but: str = "") -> None:
    """Each list in the form of rbac_operations.expand, patterns included."""
    permission = Permission(*(tuple(expand(text)) for text in (actions, but, data, data_but)))
    BUILT_IN[role_id] = Role(role_id, name, description, (permission,))


_role(OWNER, "Owner", "Everything, including giving access to others.", ": *")

_role(CONTRIBUTOR, "Contributor", "Everything but giving access to others.", ": *", but="""
Microsoft.Authorization/*: Delete Write
Microsoft.Authorization: elevateAccess/Action
Microsoft.Blueprint/blueprintAssignments: write delete
Microsoft.Compute/galleries: share/action
Microsoft.Purview/consents: write delete
Microsoft.Resources/deploymentStacks: manageDenySetting/action
Microsoft.Subscription: cancel/action enable/action
""")

_role(READER, "Reader", "See everything, change nothing.", "*: read")

_role(USER_ACCESS_ADMINISTRATOR, "User Access Administrator", "Give and take access, with any role.", """
*: read
Microsoft.Authorization: *
Microsoft.Support: *
""")

_role(RBAC_ADMINISTRATOR, "Role Based Access Control Administrator", "Give and take access by assigning roles, and in no other way.", """
Microsoft.Authorization/roleAssignments: write delete
*: read
Microsoft.Support: *
""")

_WORKSPACE = "Microsoft.MachineLearningServices/workspaces/*: read action delete write\n"
_NOT_THE_WORKSPACE = """
Microsoft.MachineLearningServices/workspaces: delete write listKeys/action
Microsoft.MachineLearningServices/workspaces/hubs: write delete
Microsoft.MachineLearningServices/workspaces/featurestores: write delete
"""

_role(DATA_SCIENTIST, "AzureML Data Scientist", "Everything in a workspace but making or deleting compute and changing the workspace itself.", _WORKSPACE, but=_NOT_THE_WORKSPACE + """
Microsoft.MachineLearningServices/workspaces/computes/*: write delete
Microsoft.MachineLearningServices/workspaces/computes: listKeys/action
""")

_role(COMPUTE_OPERATOR, "AzureML Compute Operator", "Everything with the compute of a workspace.", """
Microsoft.MachineLearningServices/workspaces/computes: *
Microsoft.MachineLearningServices/workspaces/notebooks/vm: *
""")

_role(REGISTRY_USER, "AzureML Registry User", "Everything with the assets of a registry, and seeing the registry.", """
Microsoft.MachineLearningServices/registries: read
Microsoft.MachineLearningServices/registries/assets: *
""")

_role(METRICS_WRITER, "AzureML Metrics Writer (preview)", "Write metrics to a workspace.", "Microsoft.MachineLearningServices/workspaces/metrics/*: write")

_role(CONNECTION_SECRETS_READER, "Azure Machine Learning Workspace Connection Secrets Reader", "List the secrets of a workspace's connections.", """
Microsoft.MachineLearningServices/workspaces/connections: listsecrets/action
Microsoft.MachineLearningServices/workspaces/metadata/secrets: read
""")

_role(
    AI_DEVELOPER, "Azure AI Developer", "Everything in a workspace but changing the workspace itself.",
    _WORKSPACE + """
Microsoft.MachineLearningServices/locations/*: read
Microsoft.Authorization/*: read
Microsoft.Resources/deployments: *
""",
    but=_NOT_THE_WORKSPACE + """
Microsoft.MachineLearningServices/workspaces/evaluations/results: labels/read reasonings/read
Microsoft.MachineLearningServices/workspaces/simulations/results: images/read
""",
    data="Microsoft.CognitiveServices/accounts: OpenAI/* SpeechServices/* ContentSafety/* MaaS/*",
    data_but="Microsoft.CognitiveServices/accounts: OpenAI/fine-tunes-deployments/write",
)

_role(INFERENCE_DEPLOYMENT_OPERATOR, "Azure AI Inference Deployment Operator", "What making deployments in a resource group takes.", """
Microsoft.Authorization/*: read
Microsoft.Resources/deployments: *
Microsoft.Insights/AutoscaleSettings: write
""")

_role(AI_ADMINISTRATOR, "Azure AI Administrator", "Everything of the control plane with AI workspaces and what they depend on.", """
Microsoft.Authorization/*: read
Microsoft.CognitiveServices: *
Microsoft.ContainerRegistry/registries: *
Microsoft.DocumentDb/databaseAccounts: *
Microsoft.Features: features/read providers/features/read providers/features/register/action
Microsoft.Insights: alertRules/* components/* diagnosticSettings/* generateLiveToken/read logDefinitions/read metricAlerts/* metricdefinitions/read
Microsoft.Insights: metrics/read scheduledqueryrules/* topology/read transactions/read webtests/*
Microsoft.KeyVault: *
Microsoft.MachineLearningServices/workspaces: *
Microsoft.Network/virtualNetworks: subnets/joinViaServiceEndpoint/action
Microsoft.ResourceHealth/availabilityStatuses: read
Microsoft.Resources/deployments: * operations/read
Microsoft.Resources/subscriptions: operationresults/read read resourcegroups/deployments/* resourceGroups/read resourceGroups/write
Microsoft.Storage/storageAccounts: *
Microsoft.Support: *
Microsoft.Search/searchServices: write read delete indexes/* listAdminKeys/action privateEndpointConnections/*
Microsoft.DataFactory/factories: *
""")

_ENDPOINTS = "privateEndpointConnections/read privateEndpointConnections/write privateLinkResources/read"
_APPROVE = f"privateEndpointConnectionsApproval/action {_ENDPOINTS}"

_role("b556d68e-0be0-4f35-a333-ad7ee1ce17ea", "Azure AI Enterprise Network Connection Approver", "Approve private endpoint connections to what AI workspaces depend on.", f"""
Microsoft.ApiManagement/service: {_ENDPOINTS} read
Microsoft.ContainerRegistry/registries: privateEndpointConnectionsApproval/action privateEndpointConnections/read privateEndpointConnections/write
Microsoft.Cache/redis: read {_APPROVE}
Microsoft.Cache/redisEnterprise: read {_APPROVE}
Microsoft.CognitiveServices/accounts: read {_ENDPOINTS}
Microsoft.DBforPostgreSQL/flexibleServers: {_APPROVE} read
Microsoft.DBforPostgreSQL/serverGroupsv2: {_APPROVE}
Microsoft.DBforMySQL/flexibleServers: {_APPROVE} read
Microsoft.DocumentDB/databaseAccounts: {_APPROVE} privateEndpointConnections/operationResults/read read
Microsoft.KeyVault/vaults: {_APPROVE} read
Microsoft.MachineLearningServices/registries: {_APPROVE} read
Microsoft.MachineLearningServices/workspaces: {_APPROVE} read
Microsoft.Storage/storageAccounts: {_ENDPOINTS} read PrivateEndpointConnectionsApproval/action
Microsoft.Sql/servers: {_APPROVE} read
Microsoft.EventHub/namespaces: {_APPROVE} read
Microsoft.Search/searchServices: privateEndpointConnectionsApproval/action privateEndpointConnections/read privateEndpointConnections/write sharedPrivateLinkResources/read read
Microsoft.Insights/privatelinkscopes: {_APPROVE} privateEndpointConnections/operationResults/read read
Microsoft.Network/privateLinkServices: privateEndpointConnectionsApproval/action privateEndpointConnections/read privateEndpointConnections/write read
Microsoft.Network/applicationGateways: {_ENDPOINTS} read
""")

_role("11102f94-c441-49e6-a78b-ef80e0188abc", "Azure AI Safety Evaluator", "Everything with evaluations and simulations of a workspace.", """
Microsoft.MachineLearningServices/workspaces: evaluations/* simulations/*
""")

_role("8b9beb50-e28c-4879-8472-24c9d328085f", "AI Model Scanner Operator", "See the models of workspaces and registries, to scan them.", """
Microsoft.MachineLearningServices/workspaces: read models/read models/versions/read datastores/read metadata/artifacts/read
Microsoft.MachineLearningServices/registries: read assets/read
""")

_role("25cabde7-1a6c-4350-8877-cb6fe59f1399", "Azure AI Enterprise Networking Outbound Rules Operator", "See and change the managed network of a workspace.", """
Microsoft.MachineLearningServices/workspaces/managedNetworks: read write outboundRules/read outboundRules/write outboundRules/delete batchOutboundRules/action
""")

_role("c6decf44-fd0a-444c-a844-d653c394e7ab", "Data Labeling - Labeler", "Label data.", """
Microsoft.MachineLearningServices/workspaces: read experiments/runs/read labeling/projects/read labeling/projects/summary/read labeling/labels/read labeling/labels/write
""")

_role("7f951dda-4ed3-4680-a7ca-43fe172d538d", "AcrPull", "Pull images.", "Microsoft.ContainerRegistry/registries: pull/read")
_role("8311e382-0749-4cb8-b61a-304f252e45ec", "AcrPush", "Pull and push images.", "Microsoft.ContainerRegistry/registries: pull/read push/write")

_BLOBS = "Microsoft.Storage/storageAccounts/blobServices"

_role(
    BLOB_DATA_OWNER, "Storage Blob Data Owner", "Everything with blobs and their containers.",
    f"{_BLOBS}: containers/* generateUserDelegationKey/action", data=f"{_BLOBS}/containers/blobs: *",
)
_role(
    BLOB_DATA_CONTRIBUTOR, "Storage Blob Data Contributor", "Read, write and delete blobs and their containers.",
    f"{_BLOBS}: containers/delete containers/read containers/write generateUserDelegationKey/action",
    data=f"{_BLOBS}/containers/blobs: delete read write move/action add/action",
)
_role(
    BLOB_DATA_READER, "Storage Blob Data Reader", "Read blobs.",
    f"{_BLOBS}: containers/read generateUserDelegationKey/action", data=f"{_BLOBS}/containers/blobs: read",
)
