import msgspec

from lazward.apps.blob.surface import error_xml, render_blob_error, render_dfs_error
from lazward.contract.errors import ArmError
from lazward.domain.blobs.errors import storage_error
from lazward.identity.sas import SignatureError


def test_xml_is_escaped_and_names_the_field():
    text = error_xml(storage_error("InvalidHeaderValue", "<&>", "x-ms-<a>"), request_id="r")
    assert "<Code>InvalidHeaderValue</Code>" in text
    assert "&lt;&amp;&gt;\nRequestId:r</Message><Target>x-ms-&lt;a&gt;</Target>" in text
    assert "<AuthenticationErrorDetail>a &lt; b</AuthenticationErrorDetail>" in error_xml(SignatureError("a < b"))


def test_codes_of_the_chain_become_those_of_storage():
    answer = render_blob_error(None, ArmError(401, "InvalidAuthenticationToken", "x", headers={"WWW-Authenticate": "Bearer"}))
    assert (answer.status_code, answer.headers["x-ms-error-code"], answer.headers["www-authenticate"]) == (401, "InvalidAuthenticationInfo", "Bearer")
    answer = render_dfs_error(None, storage_error("ContainerNotFound"))
    assert msgspec.json.decode(answer.body)["error"]["code"] == answer.headers["x-ms-error-code"] == "FilesystemNotFound"


def test_not_modified_has_no_body():
    error = storage_error("ConditionNotMet")
    error.status = 304
    assert render_blob_error(None, error).body == b""
