"""Operations that can be granted, in the compact form "type: verb verb". Roles are written in it too (rbac_roles.py)."""

from __future__ import annotations

from collections.abc import Iterator


def expand(text: str, prefix: str = "") -> Iterator[str]:
    """One action per verb: "a/b: read start/action" gives a/b/read and a/b/start/action. Comments (#) and empty lines are skipped."""
    for line in text.splitlines():
        kind, _, verbs = line.partition("#")[0].strip().partition(":")
        for verb in verbs.split():
            yield "/".join(part for part in (prefix, kind.strip(), verb) if part)


_ML = """
: register/action
operations: read
locations: deleteVirtualNetworkOrSubnets/action updateQuotas/action
locations/computeoperationsstatus: read
locations/mfeOperationResults: read
locations/mfeOperationsStatus: read
locations/quotas: read
locations/usages: read
locations/vmsizes: read
locations/workspaceOperationsStatus: read
registries: read write delete privateEndpointConnectionsApproval/action
registries/assets: read write delete
registries/assets/stage: write
registries/checkNameAvailability: read
registries/connections: read write delete
registries/privateEndpointConnectionProxies: read write delete validate/action
registries/privateEndpointConnections: read write delete
registries/privateLinkResources: read
virtualclusters: read write delete
virtualclusters/jobs: submit/action
workspaces: read write delete checkComputeNameAvailability/action listKeys/action resynckeys/action listStorageAccountKeys/action provisionManagedNetwork/action privateEndpointConnectionsApproval/action featuresets/action featurestoreentities/action
workspaces/assets/stage: write
workspaces/batchEndpoints: read write delete listKeys/action
workspaces/batchEndpoints/checkNameAvailability: read
workspaces/batchEndpoints/deployments: read write delete
workspaces/batchEndpoints/deployments/checkNameAvailability: read
workspaces/batchEndpoints/deployments/jobs: read write delete
workspaces/batchEndpoints/jobs: read write delete
workspaces/codes: read write delete
workspaces/codes/versions: read write delete
workspaces/components: read write delete
workspaces/components/versions: read write delete
workspaces/computes: read write delete listKeys/action listNodes/action start/action stop/action restart/action updateDataMounts/action updateIdleShutdownSetting/action applicationaccess/action updateSchedules/action applicationaccessuilinks/action reimage/action
workspaces/connections: read write delete listsecrets/action
workspaces/data: read write delete
workspaces/data/versions: read write delete
workspaces/datadriftdetectors: read write delete
workspaces/datasets: read write delete
workspaces/datasets/registered: read write delete
workspaces/datasets/registered/preview: read
workspaces/datasets/registered/profile: read write
workspaces/datasets/registered/schema: read
workspaces/datasets/unregistered: read write delete
workspaces/datasets/unregistered/preview: read
workspaces/datasets/unregistered/profile: read write
workspaces/datasets/unregistered/schema: read
workspaces/datasets/versions: read write delete
workspaces/datastores: read write delete listsecrets/action
workspaces/diagnose: read
workspaces/endpoints: read write delete listkeys/action
workspaces/endpoints/deployments: read write delete
workspaces/endpoints/deployments/modelmonitorings: read write delete
workspaces/endpoints/models: read
workspaces/endpoints/pipelines: read write
workspaces/environments: read write readSecrets/action build/action
workspaces/environments/versions: read write delete
workspaces/eventGridFilters: read write delete
workspaces/experiments: read write delete
workspaces/experiments/runs: read write delete submit/action
workspaces/features: read
workspaces/featuresets: read write delete
workspaces/featurestoreentities: read write delete
workspaces/featurestores: read write delete
workspaces/hubs: read write delete join/action
workspaces/hubs/policies: read write delete
workspaces/jobs: read write delete cancel/action
workspaces/jobs/operationresults: read
workspaces/labeling: export/action labelimport/action
workspaces/labeling/labels: read write delete reject/action update/action approve_unapprove/action
workspaces/labeling/projects: read write delete
workspaces/labeling/projects/summary: read
workspaces/linkedServices: read write delete
workspaces/listNotebookAccessToken: read
workspaces/listNotebookKeys: read
workspaces/managedstorages/claim: read write
workspaces/managedstorages/quota: read
workspaces/metadata/artifacts: read write delete
workspaces/metadata/secrets: read write delete
workspaces/metadata/snapshots: read write delete
workspaces/metrics/resource: write
workspaces/models: read write delete package/action
workspaces/models/versions: read write delete
workspaces/modules: read write
workspaces/notebooks/samples: read
workspaces/notebooks/storage: read write delete upload/action download/action
workspaces/notebooks/vm: read write delete
workspaces/onlineEndpoints: read write delete regeneratekeys/action score/action token/action listkeys/action
workspaces/onlineEndpoints/checkNameAvailability: read
workspaces/onlineEndpoints/deployments: read write delete getlogs/action
workspaces/onlineEndpoints/deployments/checkNameAvailability: read
workspaces/onlineEndpoints/deployments/operationresults: read
workspaces/onlineEndpoints/deployments/operationsstatus: read
workspaces/onlineEndpoints/deployments/skus: read
workspaces/onlineEndpoints/operationresults: read
workspaces/onlineEndpoints/operationsstatus: read
workspaces/outboundNetworkDependenciesEndpoints: read
workspaces/pipelinedrafts: read write delete
workspaces/privateEndpointConnectionProxies: read write delete validate/action
workspaces/privateEndpointConnections: read write delete
workspaces/privateLinkResources: read
workspaces/providers/Microsoft.Insights/diagnosticSettings: read write
workspaces/providers/Microsoft.Insights/logDefinitions: read
workspaces/providers/Microsoft.Insights/metricDefinitions: read
workspaces/reports: read write delete
workspaces/schedules: read write delete
workspaces/serverlessEndpoints: read write delete listKeys/action regenerateKeys/action
workspaces/services: read
workspaces/services/aci: write delete listkeys/action
workspaces/services/aks: write delete listkeys/action score/action
"""

# Not in Azure's printed list, but named by its roles or derived from its routes by the verb rule.
_ML_MORE = """
workspaces/capabilityHosts: read write delete
workspaces/inferencePools: read write delete
workspaces/managedNetworks: read write
workspaces/marketplaceSubscriptions: read write delete
workspaces/outboundRules: read write delete
workspaces/raiPolicies: read write delete
"""

_OTHERS = """
Microsoft.Authorization: elevateAccess/action
Microsoft.Authorization/denyAssignments: read
Microsoft.Authorization/locks: read write delete
Microsoft.Authorization/permissions: read
Microsoft.Authorization/providerOperations: read
Microsoft.Authorization/roleAssignments: read write delete
Microsoft.Authorization/roleDefinitions: read write delete
Microsoft.Resources/deployments: read write delete validate/action cancel/action whatIf/action exportTemplate/action
Microsoft.Resources/deployments/operations: read
Microsoft.Resources/subscriptions: read
Microsoft.Resources/subscriptions/locations: read
Microsoft.Resources/subscriptions/operationresults: read
Microsoft.Resources/subscriptions/providers: read
Microsoft.Resources/subscriptions/resourceGroups: read write delete
Microsoft.Resources/subscriptions/resourceGroups/resources: read
Microsoft.Resources/tags: read write delete
Microsoft.Storage/storageAccounts: read write delete listKeys/action
Microsoft.Storage/storageAccounts/blobServices: generateUserDelegationKey/action
Microsoft.Storage/storageAccounts/blobServices/containers: read write delete
"""

_BLOB_DATA = """
Microsoft.Storage/storageAccounts/blobServices/containers/blobs: read write delete move/action add/action
"""

ML_OPERATIONS: tuple[str, ...] = tuple(expand(_ML, "Microsoft.MachineLearningServices"))
OPERATIONS: tuple[str, ...] = (*ML_OPERATIONS, *expand(_ML_MORE, "Microsoft.MachineLearningServices"), *expand(_OTHERS))
DATA_OPERATIONS: tuple[str, ...] = tuple(expand(_BLOB_DATA))


def by_type(namespace: str = "") -> dict[str, dict[str, list[tuple[str, bool]]]]:
    """{namespace: {type path ("" for the provider itself): [(operation, is a data action)]}}; of one namespace if it is given."""
    found: dict[str, dict[str, list[tuple[str, bool]]]] = {}
    for name, data in (*((op, False) for op in OPERATIONS), *((op, True) for op in DATA_OPERATIONS)):
        space, _, rest = name.partition("/")
        if namespace and space.lower() != namespace.lower():
            continue
        parts = rest.split("/")
        kind = "/".join(parts[: -2 if parts[-1] == "action" else -1])
        found.setdefault(space, {}).setdefault(kind, []).append((name, data))
    return found
