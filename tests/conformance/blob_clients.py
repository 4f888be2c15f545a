"""How the tests with the real storage clients reach the server, and what they are told."""

import time
from datetime import UTC, datetime, timedelta

import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import BlobServiceClient

from lazward.identity import sas
from tests.live import ACCOUNT, MASTER_KEY

KEY = sas.account_key(MASTER_KEY, ACCOUNT)
DATA = "Microsoft.Storage/storageAccounts/blobServices/containers"


def client_of(live, credential=KEY, kind=BlobServiceClient, endpoint="blob", **kwargs):
    return kind(live.account_url(endpoint), credential=credential, connection_verify=live.ca, retry_total=0, **kwargs)


def soon(seconds=3600):
    return datetime.now(UTC) + timedelta(seconds=seconds)


class Token:
    """A credential that always has the same token."""

    def __init__(self, token):
        self.token = token

    def get_token(self, *scopes, **kwargs):
        return AccessToken(self.token, int(time.time()) + 3600)


def refusal(doing, *args, **kwargs):
    with pytest.raises(HttpResponseError) as caught:
        doing(*args, **kwargs)
    return caught.value.status_code, str(getattr(caught.value.error_code, "value", caught.value.error_code))
