import re

import pytest

from tests.live import ACCOUNT


async def test_every_parameter_of_a_list_is_given_back_escaped(raw):
    await raw.store.put(ACCOUNT, "cont", "<a>&\"'", b"1")
    answer = await raw("GET", "/cont?restype=container&comp=list&prefix=%3Ca&delimiter=%26&maxresults=7")
    assert "<Prefix>&lt;a</Prefix>" in answer.text
    assert "<Name>&lt;a&gt;&amp;</Name>" in answer.text
    assert "<MaxResults>7</MaxResults>" in answer.text


async def test_start_from(raw):
    for name in ("a", "b", "c"):
        await raw.store.put(ACCOUNT, "cont", name, b"1")
    answer = await raw("GET", "/cont?restype=container&comp=list&startFrom=b")
    assert re.findall("<Name>(.)</Name>", answer.text) == ["b", "c"]


@pytest.mark.parametrize("query", ["maxresults=0", "maxresults=x", "maxresults=-1", "marker=!", "marker=a", "marker=%FF"])
async def test_bad_parameters(raw, query):
    answer = await raw("GET", f"/cont?restype=container&comp=list&{query}")
    assert answer.status_code == 400


@pytest.mark.parametrize("body", [b"<SignedIdentifiers><SignedIdentifier><Id>x</Id></SignedIdentifier></SignedIdentifiers>"])
async def test_stored_policies_are_not_built(raw, body):
    assert (await raw("PUT", "/cont?restype=container&comp=acl", body=body)).status_code == 501
    assert (await raw("PUT", "/cont?restype=container&comp=acl", body=b"<SignedIdentifiers/>")).status_code == 200
    assert (await raw("PUT", "/cont?restype=container&comp=acl", x_ms_blob_public_access="container")).status_code == 409
