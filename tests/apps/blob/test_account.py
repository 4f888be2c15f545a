import pytest

PATH = "/?restype=service&comp=userdelegationkey"
RIGHT = "Microsoft.Storage/storageAccounts/blobServices/generateUserDelegationKey/action"


@pytest.mark.parametrize("body", [
    b"", b"<KeyInfo/>", b"<KeyInfo><Expiry>soon</Expiry></KeyInfo>", b"<KeyInfo><Expiry>2020-01-01T00:00:00Z</Expiry></KeyInfo>", b"<KeyInfo><Expiry>2199-01-01T00:00:00Z</Expiry></KeyInfo>",
    b"<KeyInfo><Start>2199-01-02T00:00:00Z</Start><Expiry>2199-01-01T00:00:00Z</Expiry></KeyInfo>",
])
async def test_keys_for_impossible_times(raw, body):
    raw.authority.add("me", RIGHT)
    assert (await raw("POST", PATH, key=None, authorization="Bearer me", body=body)).status_code == 400


@pytest.mark.parametrize(("body", "status"), [
    (b"<StorageServiceProperties/>", 202), (b"<StorageServiceProperties><Cors/></StorageServiceProperties>", 202),
    (b"<StorageServiceProperties><Cors><CorsRule><AllowedOrigins>*</AllowedOrigins></CorsRule></Cors></StorageServiceProperties>", 501),
    (b"<StorageServiceProperties><StaticWebsite><Enabled>true</Enabled></StaticWebsite></StorageServiceProperties>", 501), (b"<x/>", 400),
])
async def test_properties_stay_off(raw, body, status):
    assert (await raw("PUT", "/?restype=service&comp=properties", body=body)).status_code == status


async def test_account_information(raw):
    for path in ("/", "/cont", "/cont/b"):
        assert (await raw("HEAD", f"{path}?restype=account&comp=properties")).headers["x-ms-is-hns-enabled"] == "true"
