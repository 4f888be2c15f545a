from __future__ import annotations

import socket

import pytest
import requests

from lazward_mlflow.outage import SLOW, reason_of


def error_of(url: str, **how) -> BaseException:
    with pytest.raises(requests.exceptions.RequestException) as caught:
        requests.get(url, timeout=0.2, **how)
    return caught.value


def test_what_the_network_does():
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        port = deaf.getsockname()[1]
        assert reason_of(error_of(f"http://127.0.0.1:{port}")) == SLOW
    assert reason_of(error_of(f"http://127.0.0.1:{port}")) == "connection refused"
    assert reason_of(error_of("http://no-such-host.invalid")) == "its name is not known"
    assert reason_of(ConnectionResetError(104, "Connection reset by peer")) == "the connection broke"


def test_as_mlflow_wraps_it():
    """By `raise from`, or within an except clause alone."""
    from mlflow.exceptions import MlflowException

    with pytest.raises(MlflowException) as caught:
        try:
            raise requests.exceptions.ConnectionError("Connection refused")
        except Exception as error:
            raise MlflowException(f"failed with {error}")  # noqa: B904
    assert reason_of(caught.value) == "connection refused"


@pytest.mark.parametrize("error", [ValueError("x"), KeyError("a"), requests.exceptions.InvalidURL("x"), requests.exceptions.MissingSchema("x"), FileNotFoundError("x"), None])
def test_what_is_no_outage(error):
    assert reason_of(error) is None


def test_a_certificate_that_is_not_trusted_is_no_outage():
    inner = requests.exceptions.SSLError("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: unable to get local issuer certificate")
    assert reason_of(inner) is None
