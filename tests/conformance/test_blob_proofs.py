"""Keys, signatures and tokens as the unmodified azure-storage-blob presents them: each lets what it says and nothing more."""


import pytest
from azure.core.credentials import AzureSasCredential
from azure.core.exceptions import ClientAuthenticationError
from azure.storage.blob import (
    AccountSasPermissions,
    BlobClient,
    BlobSasPermissions,
    ContainerClient,
    ContainerSasPermissions,
    ResourceTypes,
    generate_account_sas,
    generate_blob_sas,
    generate_container_sas,
)

from lazward.identity import sas
from tests.conformance.blob_clients import DATA, KEY, Token, client_of, refusal, soon
from tests.live import ACCOUNT, WORKSPACE


class TestSignatures:
    """Each proof lets what it says and nothing more."""

    def test_a_wrong_key(self, live):
        with pytest.raises(ClientAuthenticationError) as caught:
            list(client_of(live, sas.account_key(b"x", ACCOUNT)).list_containers())
        assert caught.value.error_code == "AuthenticationFailed"
        assert "string to sign" in caught.value.message.lower()

    def test_a_blob_signature(self, live, container):
        blob = container.upload_blob("a", b"1")
        token = generate_blob_sas(blob.account_name, container.container_name, "a", account_key=KEY, permission=BlobSasPermissions(read=True), expiry=soon())
        mine = BlobClient.from_blob_url(f"{blob.url}?{token}", connection_verify=live.ca, retry_total=0)
        assert mine.download_blob().readall() == b"1"
        assert refusal(mine.upload_blob, b"2", overwrite=True) == (403, "AuthorizationPermissionMismatch")
        assert refusal(mine.delete_blob) == (403, "AuthorizationPermissionMismatch")
        other = client_of(live, AzureSasCredential(token)).get_blob_client(container.container_name, "b")
        assert refusal(other.upload_blob, b"2")[0] == 403

    def test_as_the_ml_sdk_signs_log_urls(self, live, container):
        """The datastore's account is named localhost:PORT/ACCOUNT; that is what goes into the string to sign."""
        blob = container.upload_blob("user_logs/std_log.txt", b"line")
        token = generate_blob_sas(f"localhost:{live.port}/{ACCOUNT}", container.container_name, "user_logs/std_log.txt", account_key=KEY, permission="r", expiry=soon())
        mine = BlobClient.from_blob_url(f"{blob.url}?{token}", connection_verify=live.ca)
        assert mine.download_blob().readall() == b"line"
        forged = generate_blob_sas(f"evil.example:{live.port}/{ACCOUNT}", container.container_name, "user_logs/std_log.txt", account_key=KEY, permission="r", expiry=soon())
        assert refusal(BlobClient.from_blob_url(f"{blob.url}?{forged}", connection_verify=live.ca, retry_total=0).download_blob)[0] == 403

    def test_a_container_signature_as_for_code_uploads(self, live, container):
        token = generate_container_sas(ACCOUNT, container.container_name, account_key=KEY, permission=ContainerSasPermissions(read=True, write=True, list=True, create=True), expiry=soon())
        mine = ContainerClient.from_container_url(f"{container.url}?{token}", connection_verify=live.ca, retry_total=0)
        mine.upload_blob("code/train.py", b"print()", metadata={"a": "1"})
        assert [blob.name for blob in mine.list_blobs()] == ["code/train.py"]
        assert refusal(mine.delete_blob, "code/train.py") == (403, "AuthorizationPermissionMismatch")
        assert refusal(mine.delete_container)[0] == 403
        assert refusal(lambda: list(client_of(live, AzureSasCredential(token)).list_containers()))[0] == 403

    def test_create_only_never_overwrites(self, live, container):
        token = generate_container_sas(ACCOUNT, container.container_name, account_key=KEY, permission="c", expiry=soon())
        mine = ContainerClient.from_container_url(f"{container.url}?{token}", connection_verify=live.ca, retry_total=0)
        mine.upload_blob("a", b"1")
        assert refusal(mine.upload_blob, "a", b"2", overwrite=True) == (403, "UnauthorizedBlobOverwrite")

    def test_an_account_signature(self, live, container):
        token = generate_account_sas(ACCOUNT, KEY, ResourceTypes(service=True, container=True), AccountSasPermissions(list=True, read=True), soon())
        mine = client_of(live, AzureSasCredential(token))
        assert container.container_name in [found.name for found in mine.list_containers()]
        assert refusal(mine.get_blob_client(container.container_name, "a").download_blob) == (403, "AuthorizationResourceTypeMismatch")

    def test_an_expired_one(self, live, container):
        blob = container.upload_blob("a", b"1")
        token = generate_blob_sas(ACCOUNT, container.container_name, "a", account_key=KEY, permission="r", expiry=soon(-1))
        with pytest.raises(ClientAuthenticationError) as caught:
            BlobClient.from_blob_url(f"{blob.url}?{token}", connection_verify=live.ca, retry_total=0).download_blob()
        assert "time frame" in caught.value.message

    def test_user_delegation(self, live, container):
        container.upload_blob("a", b"1")
        live.authority.add("reader", f"{DATA}/blobs/read", "Microsoft.Storage/storageAccounts/blobServices/generateUserDelegationKey/action")
        key = client_of(live, Token("reader")).get_user_delegation_key(soon(-60), soon())
        token = generate_blob_sas(ACCOUNT, container.container_name, "a", user_delegation_key=key, permission="rd", expiry=soon())
        mine = client_of(live, AzureSasCredential(token)).get_blob_client(container.container_name, "a")
        assert mine.download_blob().readall() == b"1"
        assert refusal(mine.delete_blob) == (403, "AuthorizationPermissionMismatch")  # the signature has d, its maker has not
        live.authority.grants.clear()
        assert refusal(mine.download_blob) == (403, "AuthorizationPermissionMismatch")
        assert refusal(client_of(live).get_user_delegation_key, soon(-60), soon())[0] == 403

    def test_bearer(self, live, container):
        container.upload_blob("a", b"1")
        live.authority.add("data-reader", f"{DATA}/blobs/read", f"{DATA}/read")
        live.authority.add("ml", "Microsoft.MachineLearningServices/workspaces/datastores/listSecrets/action")
        live.authority.add("elsewhere", "*", scope=WORKSPACE + "2")
        reader, ml, elsewhere, nobody = (client_of(live, Token(name)).get_container_client(container.container_name) for name in ("data-reader", "ml", "elsewhere", "nobody"))
        assert reader.download_blob("a").readall() == b"1"
        assert refusal(reader.upload_blob, "b", b"1") == (403, "AuthorizationPermissionMismatch")
        assert refusal(reader.delete_container) == (403, "AuthorizationPermissionMismatch")
        ml.upload_blob("b", b"1")
        ml.delete_blob("b")
        assert refusal(elsewhere.download_blob, "a")[0] == 403
        assert refusal(nobody.download_blob, "a")[0] == 401

    def test_no_proof_at_all(self, live, container):
        anonymous = client_of(live, None).get_container_client(container.container_name)
        assert refusal(anonymous.get_container_properties) == (401, "NoAuthenticationInformation")
        assert refusal(anonymous.upload_blob, "a", b"1") == (401, "NoAuthenticationInformation")
