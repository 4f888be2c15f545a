"""The account itself: its properties, and user delegation keys."""

from __future__ import annotations

from datetime import UTC, datetime

from starlette.responses import Response

from lazward.apps.blob.answers import empty
from lazward.apps.blob.call import Call
from lazward.apps.blob.xml import element, flatten, wrap, xml_response
from lazward.domain.blobs.errors import storage_error, unsupported
from lazward.identity import sas

MAX_DELEGATION = 7 * 86400.0
_OFF = wrap("RetentionPolicy", [element("Enabled", "false")])
_METRICS = [element("Version", "1.0"), element("Enabled", "false"), _OFF]
_PROPERTIES = wrap("StorageServiceProperties", [
    wrap("Logging", [element("Version", "1.0"), element("Delete", "false"), element("Read", "false"), element("Write", "false"), _OFF]),
    wrap("HourMetrics", _METRICS), wrap("MinuteMetrics", _METRICS), "<Cors />",
    wrap("DeleteRetentionPolicy", [element("Enabled", "false")]), wrap("StaticWebsite", [element("Enabled", "false")]),
])


async def get_service_properties(call: Call) -> Response:
    """Logging, metrics, CORS, soft delete and static websites: all off, and they stay so."""
    return xml_response(_PROPERTIES, 200, {"x-ms-version": call.version})


async def set_service_properties(call: Call) -> Response:
    """What leaves everything off is accepted; the rest is not built."""
    for path, text in flatten(await call.body(256 * 1024), "StorageServiceProperties"):
        wanted = text.lower() == "true" and path[-1] in ("Enabled", "Read", "Write", "Delete")
        if wanted or (path[0] == "Cors" and len(path) > 1):
            raise unsupported(f"The property {'/'.join(path)[:80]} of the blob service")
    return empty(call, 202)


async def get_account_info(call: Call) -> Response:
    return empty(call, 200, {"x-ms-sku-name": "Standard_LRS", "x-ms-account-kind": "StorageV2", "x-ms-is-hns-enabled": "true"})


async def user_delegation_key(call: Call) -> Response:
    """A key with which a signed-in caller makes signatures bounded by their own rights, for at most seven days."""
    if call.proof != "bearer":
        raise storage_error("AuthorizationFailure", "Only a bearer token gets a user delegation key.")
    caller = call.ctx.caller
    if caller.run:
        # The key would outlive the run that the token dies with.
        raise storage_error("AuthorizationFailure", "The token of a run gets no user delegation key.")
    facts = {path[-1]: text for path, text in flatten(await call.body(16 * 1024), "KeyInfo")}
    if facts.get("DelegatedUserTid"):
        raise unsupported("A delegation key for users of another tenant")
    try:
        end = sas.parse_time(facts.get("Expiry", ""))
        start = sas.parse_time(facts["Start"]) if facts.get("Start") else call.now
    except ValueError as error:
        raise storage_error("InvalidXmlDocument", f"'{error}' is not a time such as 2026-01-31T10:20:30Z.", "KeyInfo") from None
    if end <= max(call.now, start) or end - call.now > MAX_DELEGATION + 60:
        raise storage_error("OutOfRangeInput", "A user delegation key expires after its start and within seven days.", "Expiry")
    stamp = "%Y-%m-%dT%H:%M:%SZ"
    named = {
        "skoid": caller.id, "sktid": caller.tenant, "skt": datetime.fromtimestamp(start, UTC).strftime(stamp),
        "ske": datetime.fromtimestamp(end, UTC).strftime(stamp), "sks": "b", "skv": call.version,
    }
    value = sas.delegation_key(call.ctx.services.master_key, call.account, named)
    names = ("SignedOid", "SignedTid", "SignedStart", "SignedExpiry", "SignedService", "SignedVersion")
    parts = [element(name, fact) for name, fact in zip(names, named.values(), strict=True)]
    return xml_response(wrap("UserDelegationKey", [*parts, element("Value", value)]), 200, {"x-ms-version": call.version})
