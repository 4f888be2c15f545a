"""The declaration of an ARM resource type, and the REGISTRY of all of them.

A type is a ResourceType; the generic engine (apps/arm/engine.py) derives its routes, RBAC actions, paging, etags, system data
and long-running operations from it. What a type does beyond that is a few plain functions named in its declaration.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import yaml

from lazward.contract.caller import Caller
from lazward.contract.errors import ArmError
from lazward.contract.ids import ML, ResourceId

Doc = dict[str, Any]

MAX_TAG, MAX_TAG_VALUE = 250, 8000  # characters; a job's tags are its run's, which MLflow limits alike
MAX_COMPARED = 100_000  # characters of a text that is compared as YAML

PRIVATE = "lazward"  # member of a document that is ours alone: never taken from a client, never shown


@dataclass(frozen=True)
class WriteContext:
    """What a pure before_write may know: who, when, which resource, and makers of the random and the secret."""

    rid: ResourceId
    caller: Caller
    now: float
    base_url: str
    gateway_url: str
    location: str
    new_guid: Callable[[], str]
    parent: Doc | None = None  # document of the resource above
    workspace: Doc | None = None  # document of the workspace or registry it lies in
    patch: bool = False  # the document is the old one with a PATCH merged in: what is absent was removed


BeforeWrite = Callable[[Doc, Doc | None, WriteContext], None]


@dataclass(frozen=True)
class ResourceType:
    """path: types below the provider, e.g. "workspaces/jobs".

    properties: struct that `properties` must fit (shape only; unknown members are kept and given back).
    tracked: location, tags, identity, sku, kind are top-level members.
    created, updated, deleted: the exact success codes that the clients of this type take (arm-surface.md).
    archivable: properties.isArchived hides it from lists (listViewType).
    views: other values of listViewType, with what each shows; the first is the default.
    immutable: members of properties that may not change once written.
    provision / deprovision: kind of the durable task that PUT / DELETE starts; present = a long-running operation.
    lookup: value to find it by (resource.lookup).
    versions_of: for a version type, keeps the container's latestVersion and nextVersion; containers are made on demand.
    matches: list filters by query parameter: (document with its name, value) -> keep?
    rights: the type path in the names of its RBAC actions, when that is not `path`.
    """

    path: str
    properties: type[msgspec.Struct]
    provider: str = ML
    tracked: bool = False
    created: int = 201
    updated: int = 200
    deleted: int = 200
    patchable: bool = False
    archivable: bool = False
    views: Mapping[str, Callable[[Doc], bool]] = field(default_factory=dict)
    versions: bool = False
    newest_first: bool = False
    immutable: frozenset[str] = frozenset()
    before_write: BeforeWrite | None = None
    present: Callable[[Doc, ResourceId], None] | None = None
    lookup: Callable[[Doc], str | None] | None = None
    provision: str = ""
    deprovision: str = ""
    actions: frozenset[str] = frozenset()
    matches: Mapping[str, Callable[[Doc, str], bool]] = field(default_factory=dict)
    id_of: Callable[[ResourceId], str] | None = None  # how the id is printed when not as ARM id
    managed: bool = False  # made by other operations only: PUT answers 405
    rights: str = ""

    @property
    def key(self) -> str:
        return f"{self.provider}/{self.path}".lower()

    def action(self, right: str) -> str:
        """The RBAC action of a right on this type: "read" -> "Microsoft.MachineLearningServices/workspaces/jobs/read"."""
        return f"{self.provider}/{self.rights or self.path}/{right}"

    @property
    def collection(self) -> str:
        return self.path.rsplit("/", 1)[-1]

    @property
    def container(self) -> str:
        """Key of the type above."""
        return f"{self.provider}/{self.path.rsplit('/', 1)[0]}".lower() if "/" in self.path else ""


REGISTRY: dict[str, ResourceType] = {}


def resource(path: str, properties: type[msgspec.Struct], **facts: Any) -> ResourceType:
    """Declares a type and adds it to the REGISTRY."""
    declared = ResourceType(path=path, properties=properties, **facts)
    if declared.key in REGISTRY:
        raise ValueError(f"{declared.key} is declared twice")
    REGISTRY[declared.key] = declared
    return declared


_TOP = (("tags", dict, "object"), ("location", str, "string"), ("identity", dict, "object"), ("sku", dict, "object"), ("kind", str, "string"))


def check_shape(declared: ResourceType, doc: Doc) -> None:
    """Raises ArmError 400 naming the member when the document does not fit the type. Values that clients write as text ("5", "true")
    are put right in place, so that what reads the document later finds the declared types."""
    properties = doc.get("properties")
    if properties is None:
        raise ArmError(400, "InvalidRequestContent", "The member 'properties' is required.", "properties")
    try:
        read = msgspec.convert(properties, declared.properties, strict=False)
    except msgspec.ValidationError as error:
        text = str(error)
        reason, _, at = text.partition(" - at `")
        target = "properties" + at.rstrip("`").removeprefix("$") if at else "properties"
        raise ArmError(400, "ValidationError", f"{reason} - at {target}", target) from None
    doc["properties"] = _typed(properties, read)
    for name, kind, word in _TOP:
        value = doc.get(name)
        if value is not None and not isinstance(value, kind):
            raise ArmError(400, "ValidationError", f"Expected `{word}` at {name}.", name)
    for holder, target in ((doc, "tags"), (doc["properties"], "properties.tags")):
        if holder.get("tags") is not None:
            holder["tags"] = read_tags(holder["tags"], target)


def read_tags(tags: Any, target: str) -> dict[str, str]:
    """Tags as texts, without those that are null; ArmError 400."""
    if not isinstance(tags, dict) or not all(isinstance(value, str | int | float | bool | type(None)) for value in tags.values()):
        raise ArmError(400, "ValidationError", "Tags are an object of strings.", target)
    for name, value in tags.items():
        if len(name) > MAX_TAG or len(str(value)) > MAX_TAG_VALUE:
            raise ArmError(400, "ValidationError", f"A tag's name has up to {MAX_TAG} characters, its value up to {MAX_TAG_VALUE}.", f"{target}.{name[:40]}")
    return {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in tags.items() if value is not None}


def _typed(raw: Any, read: Any) -> Any:
    """raw with the scalars of `read`, the same value as msgspec understood it; members that no struct declares stay as they are."""
    if isinstance(read, msgspec.Struct) and isinstance(raw, dict):
        known = {encoded: getattr(read, name) for encoded, name in _members(type(read))}
        return {name: _typed(value, known[name]) if name in known else value for name, value in raw.items()}
    if isinstance(read, dict) and isinstance(raw, dict):
        return {name: _typed(value, read.get(name, value)) for name, value in raw.items()}
    if isinstance(read, list) and isinstance(raw, list):
        return [_typed(*pair) for pair in zip(raw, read, strict=True)]
    return read


@functools.cache
def _members(kind: type[msgspec.Struct]) -> tuple[tuple[str, str], ...]:
    """(name on the wire, name) of each member; finding them out costs as much as reading a document."""
    return tuple((f.encode_name, f.name) for f in msgspec.structs.fields(kind))


def check_immutable(declared: ResourceType, new: Doc, old: Doc) -> None:
    """Raises ArmError 409 when a member that may not change does: another value, none where there was one, one where there was none."""
    for name in sorted(declared.immutable):
        before, after = old["properties"].get(name), new["properties"].get(name)
        if not _same(before, after):
            raise ArmError(
                409, "ImmutablePropertyChanged",
                f"The member '{name}' of an existing resource cannot be changed; make a new {'version' if declared.versions else 'resource'}.",
                f"properties.{name}",
            )


class _NoAliases(yaml.SafeLoader):
    """A few lines of YAML with aliases stand for billions of values, which to compare would take for ever (S19)."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("alias")
        return super().compose_node(parent, index)


def _same(before: Any, after: Any) -> bool:
    """Equal, or two spellings of one YAML text: clients print a conda file anew when they send it back."""
    if before == after:
        return True
    if isinstance(before, str) and isinstance(after, str) and "\n" in before and max(len(before), len(after)) <= MAX_COMPARED:
        try:
            return yaml.load(before, _NoAliases) == yaml.load(after, _NoAliases)  # noqa: S506 - a SafeLoader
        except (yaml.YAMLError, ValueError, RecursionError):
            return False
    return False


def check_location(new: Doc, old: Doc) -> None:
    """Raises ArmError 409 when a resource would move to another region; "West Europe" is westeurope."""
    before, after = old.get("location"), new.get("location")
    if before and after and _region(before) != _region(after):
        raise ArmError(
            409, "InvalidResourceLocation",
            f"The resource exists in the location '{before}' and cannot be moved to '{after[:80]}'.", "location",
        )


def _region(text: str) -> str:
    return text.replace(" ", "").lower()


def merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7396: members of patch replace those of target, null removes."""
    if not isinstance(patch, dict):
        return patch
    out = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            out.pop(name, None)
        else:
            out[name] = merge_patch(out.get(name), value)
    return out
