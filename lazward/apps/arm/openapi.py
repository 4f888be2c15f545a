"""GET /openapi.json: the ARM surface as an OpenAPI 3.1 document, made from the declarations that the engine runs on."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.responses import Response

from lazward import __version__
from lazward.apps.arm.hooks import ACTIONS, Target
from lazward.apps.arm.platform import API_VERSIONS, ARM
from lazward.apps.arm.targets import methods_of, right_of
from lazward.apps.chain import Context, Route, public
from lazward.contract.ids import ResourceId
from lazward.domain.resource import REGISTRY, ResourceType

Json = dict[str, Any]
_REF = "#/components/schemas/{name}"
_NAME = "^[^\\u0000-\\u001f\\u007f/\\\\?#%&<>\"*|]{1,255}$"
_VERBS = {"GET": "read", "HEAD": "exists", "PUT": "createOrReplace", "PATCH": "update", "DELETE": "delete"}
_ERRORS = {
    "400": "The request is not right; `target` names the member.", "401": "No valid token.", "403": "The token's principal lacks the permission.",
    "404": "Something on the path is not there; the message names it.", "409": "The state of the resource forbids it, such as an immutable member or who uses it.",
    "412": "If-Match or If-None-Match does not hold.", "413": "The body is too large.", "501": "Not built; see docs/coverage.md.",
}


def openapi_routes() -> list[Route]:
    made: list[bytes] = []

    async def show(ctx: Context) -> Response:
        if not made:
            made.append(msgspec.json.encode(document(ctx.services.base_url)))
        return Response(made[0], media_type="application/json", headers={"cache-control": "public, max-age=3600"})

    return [Route(("GET",), "/openapi.json", show, public("what the source says too: no state, no names of anything"), ARM)]


def document(base_url: str) -> Json:
    """The OpenAPI document of every declared type."""
    declared = sorted(REGISTRY.values(), key=lambda d: d.path)
    _, schemas = msgspec.json.schema_components([d.properties for d in declared], ref_template=_REF)
    paths: Json = {}
    for kind in declared:
        schemas[_resource_name(kind)] = _resource(kind)
        paths |= _paths(kind)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Lazward", "version": __version__, "license": {"name": "MIT", "identifier": "MIT"},
            "description": "Azure Machine Learning's management surface (Microsoft.MachineLearningServices). Members that a schema does not name are kept and given back. "
                           "A long-running operation is announced by the header Azure-AsyncOperation.",
        },
        "servers": [{"url": base_url}],
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
            "parameters": {"ApiVersion": {
                "name": "api-version", "in": "query", "required": True, "schema": {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}(-preview)?$", "examples": [API_VERSIONS[0]]},
            }},
            "schemas": {**schemas, "Error": _ERROR, "SystemData": _SYSTEM_DATA},
            "responses": {"Error": {"description": "An ARM error.", "content": _content({"$ref": _REF.format(name="Error")})}},
        },
    }


_ERROR: Json = {
    "type": "object", "required": ["error"],
    "properties": {"error": {
        "type": "object", "required": ["code", "message"],
        "properties": {
            "code": {"type": "string", "minLength": 1}, "message": {"type": "string", "minLength": 1}, "target": {"type": "string"},
            "details": {"type": "array", "items": {"type": "object"}}, "additionalInfo": {"type": "array"},
        },
    }},
}
_SYSTEM_DATA: Json = {
    "type": "object",
    "properties": {
        name: {"type": "string", "format": "date-time"} if name.endswith("At") else {"type": "string"}
        for name in ("createdAt", "createdBy", "createdByType", "lastModifiedAt", "lastModifiedBy", "lastModifiedByType")
    },
}


def _resource_name(kind: ResourceType) -> str:
    """"workspaces/onlineEndpoints" -> "WorkspacesOnlineEndpoints"."""
    return "".join(piece[0].upper() + piece[1:] for piece in kind.path.split("/"))


def _resource(kind: ResourceType) -> Json:
    text: Json = {"type": "string"}
    nothing: Json = {"type": "null"}
    tracked: Json = {
        "location": {"anyOf": [text, nothing]}, "tags": {"anyOf": [{"type": "object", "additionalProperties": {"type": ["string", "number", "boolean", "null"]}}, nothing]},
        "identity": {"type": ["object", "null"]}, "sku": {"type": ["object", "null"]}, "kind": {"anyOf": [text, nothing]},
    } if kind.tracked else {}
    return {
        "type": "object", "required": ["properties"],
        "properties": {
            **{name: {"type": "string", "readOnly": True} for name in ("id", "name", "type")},
            **tracked, "properties": {"$ref": _REF.format(name=kind.properties.__name__)}, "systemData": {"$ref": _REF.format(name="SystemData"), "readOnly": True},
        },
    }


def _paths(kind: ResourceType) -> Json:
    *above, last = kind.path.split("/")
    between = "".join(f"/{piece}/{{{_parameter(piece)}}}" for piece in above)
    below = f"/subscriptions/{{subscriptionId}}/resourceGroups/{{resourceGroupName}}/providers/{kind.provider}{between}/{last}"
    item = f"{below}/{{{_parameter(last)}}}"
    names = ["subscriptionId", "resourceGroupName", *map(_parameter, above)]
    ref = {"$ref": _REF.format(name=_resource_name(kind))}
    out: Json = {
        below: {"parameters": _parameters(names), "get": _list(kind, ref)},
        item: {"parameters": _parameters([*names, _parameter(last)]), **{verb.lower(): _operation(kind, verb, ref) for verb in methods_of(_target(kind)) if verb != "HEAD"}},
    }
    if not above:
        everywhere = f"/subscriptions/{{subscriptionId}}/providers/{kind.provider}/{last}"
        out[everywhere] = {"parameters": _parameters(["subscriptionId"]), "get": _list(kind, ref, "InSubscription")}
    for verb in sorted(kind.actions):
        if (kind.key, verb.lower()) in ACTIONS:
            out[f"{item}/{verb}"] = {"parameters": _parameters([*names, _parameter(last)]), "post": _action(kind, verb)}
    return out


def _target(kind: ResourceType, verb: str = "") -> Target:
    rid = ResourceId("s", "g", kind.provider, tuple((piece, "x") for piece in kind.path.split("/")))
    return Target(kind, rid, verb)


def _parameter(piece: str) -> str:
    """The name of a path parameter: "jobs" -> "jobName", "versions" -> "version"."""
    if piece == "versions":
        return "version"
    single = piece[:-3] + "y" if piece.endswith("ies") else piece.removesuffix("s")
    return single + "Name"


def _parameters(names: list[str]) -> list[Json]:
    known = [{"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": _NAME}} for name in names]
    return [*known, {"$ref": "#/components/parameters/ApiVersion"}]


def _content(schema: Json) -> Json:
    return {"application/json": {"schema": schema}}


def _answers(*codes: int, schema: Json | None = None, errors: tuple[str, ...] = ("400", "401", "403", "404")) -> Json:
    out: Json = {}
    for code in codes:
        out[str(code)] = {"description": {200: "Done.", 201: "Made.", 202: "Begun; see Azure-AsyncOperation.", 204: "There was none.", 304: "As the caller has it."}[code]}
        if schema is not None and code in (200, 201):
            out[str(code)]["content"] = _content(schema)
    for code in errors:
        out[code] = {"description": _ERRORS[code], "content": _content({"$ref": _REF.format(name="Error")})}
    return out


def _operation(kind: ResourceType, verb: str, ref: Json) -> Json:
    operation: Json = {
        "operationId": f"{_resource_name(kind)}_{_VERBS[verb]}", "tags": [kind.path], "x-rbac-action": right_of(_target(kind), verb),
        "parameters": [{"name": name, "in": "header", "required": False, "schema": {"type": "string"}} for name in _conditions(verb)],
    }
    match verb:
        case "GET":
            answers = _answers(200, 304, schema=_shown(kind))
        case "DELETE":
            answers = _answers(202 if kind.deprovision else kind.deleted, 204, errors=("400", "401", "403", "404", "409", "412"))
        case _:
            codes = (kind.updated,) if verb == "PATCH" else tuple(dict.fromkeys((kind.created, kind.updated)))
            answers = _answers(*codes, schema=_shown(kind), errors=("400", "401", "403", "404", "409", "412", "413", "501"))
            patch = {"type": "object", "description": "Merged into the resource (RFC 7396); null removes.", "properties": {"properties": {"type": "object"}}}
            operation["requestBody"] = {"required": True, "content": _content(ref if verb == "PUT" else patch)}
    return {**operation, "responses": answers}


def _shown(kind: ResourceType) -> Json:
    """What is answered: the server adds members of its own."""
    return {
        "type": "object", "required": ["id", "name", "type", "properties"],
        "properties": {"id": {"type": "string"}, "name": {"type": "string"}, "type": {"const": f"{kind.provider}/{kind.path}"}, "properties": {"type": "object"}},
    }


def _conditions(verb: str) -> tuple[str, ...]:
    return {"GET": ("If-None-Match",), "PUT": ("If-Match", "If-None-Match")}.get(verb, ("If-Match",))


def _list(kind: ResourceType, ref: Json, suffix: str = "") -> Json:
    text: Json = {"type": "string"}
    asked: dict[str, Json] = {
        "$top": {"type": "integer", "minimum": 1}, "$skip": text, "$orderBy": {"enum": ["createdtime asc", "createdtime desc"]}, "tags": text, "properties": text,
        **({"listViewType": {"enum": ["ActiveOnly", "ArchivedOnly", "All"]}} if kind.archivable else {}), **dict.fromkeys(kind.matches, text),
    }
    page = {"type": "object", "required": ["value"], "properties": {"value": {"type": "array", "items": _shown(kind)}, "nextLink": {"type": "string", "format": "uri"}}}
    return {
        "operationId": f"{_resource_name(kind)}_list{suffix}", "tags": [kind.path], "x-rbac-action": right_of(_target(kind), "GET"),
        "parameters": [{"name": name, "in": "query", "required": False, "schema": schema} for name, schema in asked.items()],
        "responses": _answers(200, schema=page),
    }


def _action(kind: ResourceType, verb: str) -> Json:
    return {
        "operationId": f"{_resource_name(kind)}_{verb}", "tags": [kind.path], "x-rbac-action": right_of(_target(kind, verb.lower()), "POST"),
        "requestBody": {"required": False, "content": _content({"type": "object"})},
        "responses": {**_answers(200, 202, errors=("400", "401", "403", "404", "409", "413")), "200": {"description": "Done."}},
    }
