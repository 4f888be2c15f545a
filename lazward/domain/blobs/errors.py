"""The error codes of the storage services: status and wording of each, in one place."""

from __future__ import annotations

from typing import Any

from lazward.contract.errors import ArmError

_CODES: dict[str, tuple[int, str]] = {
    "AccountIsDisabled": (403, "The storage account is disabled."),
    "AppendPositionConditionNotMet": (412, "The append position condition was not met."),
    "AuthenticationFailed": (403, "The request could not be authenticated. Check the signature or token and the time of this machine."),
    "AuthorizationFailure": (403, "This request is not authorized to perform this operation."),
    "AuthorizationPermissionMismatch": (403, "This request is not authorized to perform this operation using this permission."),
    "AuthorizationProtocolMismatch": (403, "This request is not authorized to perform this operation using this protocol."),
    "AuthorizationResourceTypeMismatch": (403, "This request is not authorized to perform this operation using this resource type."),
    "AuthorizationServiceMismatch": (403, "This request is not authorized to perform this operation using this service."),
    "AuthorizationSourceIPMismatch": (403, "This request is not authorized to perform this operation using this source IP address."),
    "BlobAlreadyExists": (409, "The specified blob already exists."),
    "BlobNotFound": (404, "The specified blob does not exist."),
    "BlockCountExceedsLimit": (409, "The number of blocks is over the limit."),
    "CannotVerifyCopySource": (404, "The copy source cannot be read."),
    "ConditionHeadersNotSupported": (400, "Condition headers are not supported for this operation."),
    "ConditionNotMet": (412, "The condition specified using HTTP conditional header(s) is not met."),
    "ContainerAlreadyExists": (409, "The specified container already exists."),
    "ContainerNotFound": (404, "The specified container does not exist."),
    "Crc64Mismatch": (400, "The CRC64 value of the content is not the one in the request."),
    "DestinationPathIsNotADirectory": (409, "The destination, or a part of its path, is not a directory."),
    "DirectoryNotEmpty": (409, "The directory is not empty; use the recursive parameter to delete it."),
    "FeatureNotSupported": (501, "This feature is not supported by this server."),
    "InsufficientStorage": (507, "The storage of this server is full."),
    "InvalidBlobOrBlock": (400, "The specified blob or block content is invalid."),
    "InvalidBlobType": (409, "The blob type is invalid for this operation."),
    "InvalidBlockId": (400, "The specified block ID is invalid. The block ID must be Base64-encoded, of at most 64 bytes."),
    "InvalidBlockList": (400, "The specified block list is invalid: it names a block that was not found."),
    "InvalidFlushPosition": (400, "The uploaded data is not contiguous, or the position is not the end of what was appended."),
    "InvalidHeaderValue": (400, "The value for one of the HTTP headers is not in the correct format."),
    "InvalidInput": (400, "One of the request inputs is not valid."),
    "InvalidMetadata": (400, "The metadata specified is invalid. It has characters that are not permitted."),
    "InvalidOperation": (400, "The operation is not valid."),
    "InvalidQueryParameterValue": (400, "Value for one of the query parameters specified in the request URI is invalid."),
    "InvalidRange": (416, "The range specified is invalid for the current size of the resource."),
    "InvalidRenameSourcePath": (409, "The source directory cannot be the same as, or above, the destination directory."),
    "InvalidResourceName": (400, "The specified resource name is invalid."),
    "InvalidSourceUri": (400, "The source URI is invalid."),
    "InvalidUri": (400, "The request URI is invalid."),
    "InvalidXmlDocument": (400, "The specified XML is not syntactically valid."),
    "LeaseAlreadyPresent": (409, "There is already a lease present."),
    "LeaseIdMismatchWithBlobOperation": (412, "The lease ID specified did not match the lease ID for the blob."),
    "LeaseIdMismatchWithContainerOperation": (412, "The lease ID specified did not match the lease ID for the container."),
    "LeaseIdMismatchWithLeaseOperation": (409, "The lease ID specified did not match the lease ID for the resource."),
    "LeaseIdMissing": (412, "There is currently a lease on the resource and no lease ID was specified in the request."),
    "LeaseIsBreakingAndCannotBeAcquired": (409, "The lease is breaking, it cannot be acquired until it is broken."),
    "LeaseIsBreakingAndCannotBeChanged": (409, "The lease is breaking, its ID cannot be changed."),
    "LeaseIsBrokenAndCannotBeRenewed": (409, "The lease was broken, it cannot be renewed."),
    "LeaseLost": (412, "A lease ID was specified, but the lease for the resource has expired."),
    "LeaseNotPresentWithBlobOperation": (412, "There is currently no lease on the blob."),
    "LeaseNotPresentWithContainerOperation": (412, "There is currently no lease on the container."),
    "LeaseNotPresentWithLeaseOperation": (409, "There is currently no lease on the resource."),
    "MaxBlobSizeConditionNotMet": (412, "The max blob size condition was not met."),
    "Md5Mismatch": (400, "The MD5 value of the content is not the one in the request."),
    "MetadataTooLarge": (400, "The size of the specified metadata is over the limit of 8 KiB."),
    "MissingRequiredHeader": (400, "A required HTTP header was not specified."),
    "MissingRequiredQueryParameter": (400, "A required query parameter was not specified for this request."),
    "NoAuthenticationInformation": (401, "The request carries no authentication information, and public access is not permitted."),
    "NoPendingCopyOperation": (409, "There is currently no pending copy operation."),
    "NotImplemented": (501, "The requested operation is not implemented by this server."),
    "OperationTimedOut": (408, "The operation could not be completed within the permitted time."),
    "OutOfRangeInput": (400, "One of the request inputs is out of range."),
    "PathAlreadyExists": (409, "The specified path already exists."),
    "PathConflict": (409, "The specified path, or a part of it, already exists as another kind of path."),
    "RequestBodyTooLarge": (413, "The request body is too large and exceeds the maximum permissible limit."),
    "SourceConditionNotMet": (412, "The source condition specified using HTTP conditional header(s) is not met."),
    "SourcePathNotFound": (404, "The source path for a rename operation does not exist."),
    "UnauthorizedBlobOverwrite": (403, "This request is not authorized to perform blob overwrites."),
    "UnsupportedHttpVerb": (405, "The resource does not support the specified HTTP verb."),
    "UnsupportedRestVersion": (400, "The service version of the request is not supported."),
}


def storage_error(code: str, why: str = "", target: str | None = None, **headers: Any) -> ArmError:
    """The error of that code; `why` is added to its standard wording, headers (x_y means x-y) go into the answer."""
    status, message = _CODES[code]
    named = {name.replace("_", "-"): str(value) for name, value in headers.items()}
    return ArmError(status, code, f"{message} {why}".strip(), target, headers=named)


def unsupported(what: str) -> ArmError:
    """501, which clients do not retry."""
    return storage_error("NotImplemented", f"{what} is not built (see docs/coverage.md).")
