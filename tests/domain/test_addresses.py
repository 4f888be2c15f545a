from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lazward.domain.addresses import AddressRefused, is_public, literal, read_url


@pytest.mark.parametrize("text", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "2002:0808:0808::1", "64:ff9b::808:808"])
def test_public(text):
    assert is_public(ipaddress.ip_address(text))


PRIVATE = [
    "127.0.0.1", "127.9.9.9", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "168.63.129.16", "100.64.0.1", "100.100.100.200", "192.0.0.192", "224.0.0.1",
    "255.255.255.255", "240.0.0.1", "::", "::1", "fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1",
    "2002:7f00:0001::1", "2002:a9fe:a9fe::", "64:ff9b::a9fe:a9fe", "64:ff9b::7f00:1", "64:ff9b:1::a00:1", "2001:0:7f00:1::", "2001::7f00:1",
]


@pytest.mark.parametrize("text", PRIVATE)
def test_not_public(text):
    assert not is_public(ipaddress.ip_address(text))


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_the_same_in_the_clothes_of_ipv6(address):
    for text in (f"::ffff:{address}", f"64:ff9b::{address}"):
        assert is_public(ipaddress.ip_address(text)) == is_public(address)


@pytest.mark.parametrize(("url", "scheme", "host", "port", "path"), [
    ("https://a.example", "https", "a.example", 443, "/"), ("HTTPS://A.example:8443/x/y?z=1#part", "https", "a.example", 8443, "/x/y?z=1"),
    ("https://[2606:4700::1111]:1/", "https", "2606:4700::1111", 1, "/"), ("https://8.8.8.8?a=b", "https", "8.8.8.8", 443, "/?a=b"), ("https://a.example./", "https", "a.example", 443, "/"),
    ("https://4chan.example", "https", "4chan.example", 443, "/"), ("https://a.10", "https", "a.10", 443, "/"),
])
def test_urls(url, scheme, host, port, path):
    assert read_url(url)[1:] == (scheme, host, port, path)


@pytest.mark.parametrize("url", [
    "", " ", "a.example", "//a.example", "ftp://a.example", "file:///etc/passwd", "gopher://a.example", "javascript:alert(1)", "https://", "https:///x", "https://user@a.example", "https://u:p@a.example",
    "https://a.example\\@b.example", "https://a.example/\r\nX: y", "https://a b", "https://a.example:99999", "https://[::1", "https://2130706433/", "https://0x7f.1/", "https://127.1", "https://0177.0.0.1",
    "https://017700000001", "https://[fe80::1%25eth0]/", "https://ä.example", "https://a.example/" + "x" * 3000, "http://a.example",
])
def test_what_is_no_url_to_call(url):
    with pytest.raises(AddressRefused):
        read_url(url)


def test_http_where_it_is_allowed():
    assert read_url("http://a.example", allow_http=True).port == 80


@given(st.text(max_size=40))
def test_anything_is_read_or_refused(text):
    for url in (text, f"https://{text}", f"https://a.example/{text}", f"https://{text}@a.example"):
        try:
            target = read_url(url)
        except AddressRefused:
            continue
        assert target.scheme == "https" and target.host and "@" not in target.host


def test_literals():
    assert (str(literal("::1")), literal("a.example"), literal("127.1")) == ("::1", None, None)
