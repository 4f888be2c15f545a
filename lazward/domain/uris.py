"""The URIs by which jobs and assets name data, read into one struct. Pure: nothing is looked up."""

from __future__ import annotations

import re
from typing import Literal
from urllib.parse import unquote, urlsplit

import msgspec

from lazward.contract.errors import ArmError

Kind = Literal["datastore", "asset", "job_output", "blob", "web"]

_ARM = re.compile(r"^/subscriptions/([^/]+)/resourceGroups/([^/]+)/providers/[^/]+/workspaces/([^/]+)(/.*)$", re.IGNORECASE)
_LONG = re.compile(r"^azureml://subscriptions/([^/]+)/resource[gG]roups/([^/]+)(?:/providers/[^/]+)?/workspaces/([^/]+)/(.+)$", re.IGNORECASE)
_DATASTORE = re.compile(r"^datastores/([^/]+)(?:/paths)?(?:/(.*))?$", re.IGNORECASE)
_ASSET = re.compile(r"^(data|models|environments|components|codes)/([^/]+)/(versions|labels)/([^/]+)(?:/paths/(.*))?$", re.IGNORECASE)
_OUTPUT = re.compile(r"^jobs/([^/]+)/outputs/([^/]+)(?:/paths/(.*))?$", re.IGNORECASE)
_OUTPUT_SHORT = re.compile(r"^jobs/([^/]+)/outputs/([^/]+)/(.*)$", re.IGNORECASE)
_SHORT = re.compile(r"^(?:azureml:)?([A-Za-z0-9_][A-Za-z0-9_.-]*)(?::([^:@/]+)|@([A-Za-z0-9_.-]+))$")
_BLOB_HOST = re.compile(r"^([a-z0-9]{3,24})\.(?:blob|dfs)\.core\.", re.IGNORECASE)


class DataUri(msgspec.Struct, frozen=True):
    """kind datastore: name, path. asset: family, name, version or label, registry. job_output: name (job), output, path.
    blob: account, container, path. web: url."""

    kind: Kind
    name: str = ""
    path: str = ""
    family: str = ""
    version: str = ""
    label: str = ""
    registry: str = ""
    workspace: str = ""  # name or guid, when the URI names one
    group: str = ""  # of that workspace, when the URI names it
    subscription: str = ""
    output: str = ""
    account: str = ""
    container: str = ""
    url: str = ""


def parse_uri(text: str, target: str = "uri", family: str = "data") -> DataUri:
    """Raises ArmError 400 naming `target` for what is none of the known forms. `family` is meant by azureml:NAME:VERSION."""
    uri = (text or "").strip()
    if "\0" in uri or len(uri) > 8192:
        raise ArmError(400, "InvalidUri", "The uri is too long or holds a NUL character.", target)
    if uri.lower().startswith("azureml:/subscriptions/"):
        uri = uri[len("azureml:") :]
    if match := _ARM.match(uri):
        subscription, group, workspace, rest = match.groups()
        return msgspec.structs.replace(_below_workspace(rest.lstrip("/"), workspace, text, target), group=group, subscription=subscription)
    if match := _LONG.match(uri):
        subscription, group, workspace, rest = match.groups()
        return msgspec.structs.replace(_below_workspace(rest, workspace, text, target), group=group, subscription=subscription)
    if uri.lower().startswith("azureml://registries/"):
        registry, _, rest = uri[len("azureml://registries/") :].partition("/")
        found = _below_workspace(rest, "", text, target)
        return msgspec.structs.replace(found, registry=registry)
    if uri.lower().startswith("azureml://locations/"):
        parts = uri.split("/workspaces/", 1)
        if len(parts) == 2:
            workspace, _, rest = parts[1].partition("/")
            return _below_workspace(rest, workspace, text, target)
    if uri.lower().startswith("azureml://"):
        return _below_workspace(uri[len("azureml://") :], "", text, target)
    if uri.lower().startswith("runs:/"):
        run, _, path = uri[6:].strip("/").partition("/")
        return DataUri("job_output", name=run, output="default", path=_clean(path, target))
    if match := _SHORT.match(uri):
        return DataUri("asset", family=family, name=match.group(1), version=match.group(2) or "", label=match.group(3) or "")
    try:
        parts = urlsplit(uri)
    except ValueError as error:
        raise ArmError(400, "InvalidUri", f"'{uri[:200]}' is not a web address: {error}.", target) from None
    scheme = parts.scheme.lower()
    if scheme in ("wasbs", "wasb", "abfss", "abfs") and "@" in parts.netloc:
        container, _, host = parts.netloc.partition("@")
        account = _BLOB_HOST.match(host)
        if account:
            path = _clean(unquote(parts.path), target)
            return DataUri("blob", account=account.group(1).lower(), container=container, path=path, url=f"https://{host.replace('.dfs.', '.blob.')}/{container}/{path}")
    if scheme in ("http", "https") and parts.netloc:
        return _web(uri, target)
    raise ArmError(400, "InvalidUri", f"'{uri[:200]}' is not a data uri this server knows (azureml://, https://, wasbs://, abfss://, runs:/, azureml:NAME:VERSION).", target)


def _below_workspace(rest: str, workspace: str, text: str, target: str) -> DataUri:
    rest = rest.strip("/") if not rest.lower().startswith("datastores") else rest.lstrip("/")
    if match := _DATASTORE.match(rest):
        return DataUri("datastore", name=match.group(1), path=_clean(match.group(2) or "", target), workspace=workspace)
    if match := _ASSET.match(rest):
        version, label = (match.group(4), "") if match.group(3).lower() == "versions" else ("", match.group(4))
        return DataUri("asset", family=match.group(1).lower(), name=match.group(2), version=version, label=label, path=_clean(match.group(5) or "", target), workspace=workspace)
    if match := _OUTPUT.match(rest) or _OUTPUT_SHORT.match(rest):
        return DataUri("job_output", name=match.group(1), output=match.group(2), path=_clean(match.group(3) or "", target), workspace=workspace)
    raise ArmError(400, "InvalidUri", f"'{text[:200]}' is not a data uri this server knows.", target)


def _web(uri: str, target: str) -> DataUri:
    parts = urlsplit(uri)
    match = _BLOB_HOST.match(parts.netloc)
    pieces = parts.path.lstrip("/").split("/", 2 if not match else 1)
    if match and pieces[0]:
        return DataUri("blob", account=match.group(1).lower(), container=unquote(pieces[0]), path=_clean(unquote(pieces[1] if len(pieces) > 1 else ""), target), url=uri)
    inner = _BLOB_HOST.match(pieces[0]) if pieces else None
    if inner and len(pieces) > 1:  # path style: https://host:port/ACCOUNT.blob.core.windows.net/container/path
        return DataUri("blob", account=inner.group(1).lower(), container=unquote(pieces[1]), path=_clean(unquote(pieces[2] if len(pieces) > 2 else ""), target), url=uri)
    return DataUri("web", url=uri, path=parts.path)


def _clean(path: str, target: str) -> str:
    """A path inside a container: no leading slash, no '.' or '..' pieces."""
    path = path.lstrip("/")
    if any(piece in (".", "..") for piece in path.split("/")) or "\\" in path or "\0" in path:
        raise ArmError(400, "InvalidUri", "A path may not hold '.', '..', a backslash or a NUL character.", target)
    return path
