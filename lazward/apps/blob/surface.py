"""How the two storage endpoints word errors: XML on blob, JSON on dfs, the code in a header on both."""

from __future__ import annotations

from starlette.responses import Response

from lazward.apps.blob.call import VERSION
from lazward.apps.blob.xml import element, wrap, xml_response
from lazward.apps.chain import Context, Surface, json_response
from lazward.contract.errors import ArmError
from lazward.domain.blobs.errors import storage_error

# The chain and the authority raise the codes of ARM; clients of storage know these.
_BLOB_CODES = {
    "InvalidAuthenticationToken": "InvalidAuthenticationInfo", "ExpiredAuthenticationToken": "InvalidAuthenticationInfo",
    "AuthenticationFailedInvalidHeader": "InvalidAuthenticationInfo", "RequestContentTooLarge": "RequestBodyTooLarge",
    "MethodNotAllowed": "UnsupportedHttpVerb", "InternalServerError": "InternalError",
}
_DFS_CODES = {
    **_BLOB_CODES, "BlobNotFound": "PathNotFound", "ContainerNotFound": "FilesystemNotFound", "BlobAlreadyExists": "PathAlreadyExists",
    "ContainerAlreadyExists": "FilesystemAlreadyExists", "CannotVerifyCopySource": "SourcePathNotFound", "InvalidBlobType": "PathConflict",
    "LeaseIdMismatchWithBlobOperation": "LeaseIdMismatchWithPathOperation", "LeaseNotPresentWithBlobOperation": "LeaseNotPresentWithPathOperation",
}


def _headers(ctx: Context | None, error: ArmError, code: str) -> dict[str, str]:
    version = ctx.request.headers.get("x-ms-version") if ctx else None
    return {"x-ms-error-code": code, "x-ms-version": version or VERSION, **error.headers}


def _bare(ctx: Context | None, error: ArmError) -> bool:
    return error.status == 304 or (ctx is not None and ctx.request.method == "HEAD")


def render_blob_error(ctx: Context | None, error: ArmError) -> Response:
    code = _BLOB_CODES.get(error.code, error.code)
    headers = _headers(ctx, error, code)
    if _bare(ctx, error):
        return Response(b"", error.status, headers)
    return xml_response(error_xml(error, code, ctx.request_id if ctx else ""), error.status, headers)


def error_xml(error: ArmError, code: str = "", request_id: str = "") -> str:
    message = error.message + (f"\nRequestId:{request_id}" if request_id else "")
    parts = [element("Code", code or error.code), element("Message", message)]
    if detail := getattr(error, "detail", ""):
        parts.append(element("AuthenticationErrorDetail", detail))
    elif error.target:
        parts.append(element("Target", error.target))
    return wrap("Error", parts)


def render_dfs_error(ctx: Context | None, error: ArmError) -> Response:
    code = _DFS_CODES.get(error.code, error.code)
    headers = _headers(ctx, error, code)
    if _bare(ctx, error):
        return Response(b"", error.status, headers)
    message = error.message + (f" {detail}" if (detail := getattr(error, "detail", "")) else "")
    return json_response({"error": {"code": code, "message": message}}, error.status, headers)


BLOB = Surface("blob", render_blob_error)
DFS = Surface("dfs", render_dfs_error)


def refuse_anonymous() -> ArmError:
    return storage_error("NoAuthenticationInformation", WWW_Authenticate="Bearer resource_id=https://storage.azure.com")
