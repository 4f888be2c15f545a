"""The API description of a deployment: Swagger 2.0, OpenAPI 3.0 and 3.1, from the schemas of its input and output."""

from __future__ import annotations

from typing import Any

VERSIONS = ("2", "3", "3.1")
_INFO = {
    "title": "ML service",
    "description": "Scoring with a model that is deployed to an online endpoint",
    "version": "1.0",
}
_BEARER = {"type": "apiKey", "name": "Authorization", "in": "header", "description": "Bearer and the key or token"}
_ERROR = {"type": "object", "properties": {"message": {"type": "string"}}}
_TEXT = {"type": "string"}


def document(version: str, input_schema: dict[str, Any], output_schema: dict[str, Any]) -> dict[str, Any]:
    """The description in one of VERSIONS."""
    schemas = {"ServiceInput": input_schema, "ServiceOutput": output_schema, "ErrorResponse": _ERROR}
    if version == "2":
        return _swagger2(schemas)
    return _openapi("3.0.3" if version == "3" else "3.1.0", schemas)


def _swagger2(schemas: dict[str, Any]) -> dict[str, Any]:
    def ref(name: str) -> dict[str, Any]:
        return {"$ref": f"#/definitions/{name}"}

    def responses(description: str, schema: dict[str, Any]) -> dict[str, Any]:
        return {
            "200": {"description": description, "schema": schema},
            "default": {"description": "The error.", "schema": ref("ErrorResponse")},
        }

    version = {"name": "version", "in": "query", "required": False, "type": "string", "enum": list(VERSIONS)}
    body = {"name": "serviceInputPayload", "in": "body", "description": "What to score.", "schema": ref("ServiceInput")}
    return {
        "swagger": "2.0",
        "info": _INFO,
        "schemes": ["https"],
        "consumes": ["application/json"],
        "produces": ["application/json"],
        "securityDefinitions": {"Bearer": _BEARER},
        "paths": {
            "/": {"get": {"operationId": "ServiceHealthCheck", "responses": responses("Healthy.", _TEXT)}},
            "/score": {
                "post": {
                    "operationId": "RunMLService",
                    "description": "Scores the input.",
                    "security": [{"Bearer": []}],
                    "parameters": [body],
                    "responses": responses("The prediction.", ref("ServiceOutput")),
                }
            },
            "/swagger.json": {
                "get": {
                    "operationId": "GetSwaggerSpec",
                    "parameters": [version],
                    "responses": responses("This description.", {"type": "object"}),
                }
            },
        },
        "definitions": schemas,
    }


def _openapi(openapi: str, schemas: dict[str, Any]) -> dict[str, Any]:
    def ref(name: str) -> dict[str, Any]:
        return {"$ref": f"#/components/schemas/{name}"}

    def content(schema: dict[str, Any], kind: str = "application/json") -> dict[str, Any]:
        return {kind: {"schema": schema}}

    def responses(description: str, body: dict[str, Any]) -> dict[str, Any]:
        return {
            "200": {"description": description, "content": body},
            "default": {"description": "The error.", "content": content(ref("ErrorResponse"))},
        }

    version = {"name": "version", "in": "query", "required": False, "schema": {"type": "string", "enum": list(VERSIONS)}}
    return {
        "openapi": openapi,
        "info": _INFO,
        "security": [{"Bearer": []}],
        "paths": {
            "/": {
                "get": {
                    "operationId": "ServiceHealthCheck",
                    "responses": responses("Healthy.", content(_TEXT, "text/plain")),
                }
            },
            "/score": {
                "post": {
                    "operationId": "RunMLService",
                    "description": "Scores the input.",
                    "requestBody": {"description": "What to score.", "content": content(ref("ServiceInput"))},
                    "responses": responses("The prediction.", content(ref("ServiceOutput"))),
                }
            },
            "/swagger.json": {
                "get": {
                    "operationId": "GetSwaggerSpec",
                    "parameters": [version],
                    "responses": responses("This description.", content({"type": "object"})),
                }
            },
        },
        "components": {"schemas": schemas, "securitySchemes": {"Bearer": _BEARER}},
    }
