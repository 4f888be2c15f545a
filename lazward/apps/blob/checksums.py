"""Digests that a client sends with its data, computed on the way in and compared before anything becomes visible."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Mapping
from typing import Any

import anycrc

from lazward.domain.blobs.errors import storage_error
from lazward.storage.blobs.extents import md5


class Checksums:
    """digests: what to feed with the body. Digests are of this request's body, except x-ms-blob-content-md5, which a client only
    states for later readers."""

    def __init__(self, headers: Mapping[str, str], *, want_md5: bool = False):
        self.given: dict[str, tuple[str, bytes]] = {}
        self._take(headers, "md5", "content-md5", 16)
        self._take(headers, "crc64", "x-ms-content-crc64", 8)
        self.digests: list[Any] = [md5()] if want_md5 or "md5" in self.given else []
        if "crc64" in self.given:
            self.digests.append(Crc64())

    def _take(self, headers: Mapping[str, str], name: str, header: str, size: int) -> None:
        if text := headers.get(header):
            try:
                raw = base64.b64decode(text, validate=True)
            except (binascii.Error, ValueError):
                raw = b""
            if len(raw) != size:
                raise storage_error("InvalidHeaderValue", f"{header} is Base64 of {size} bytes.", header)
            self.given[name] = (header, raw)

    def verify(self) -> None:
        """ArmError 400 when the body was not what the client meant to send."""
        for digest in self.digests:
            header, wanted = self.given.get(digest.name, ("", b""))
            if header and not hmac.compare_digest(wanted, digest.digest()):
                code = "Md5Mismatch" if digest.name == "md5" else "Crc64Mismatch"
                raise storage_error(code, f"Given {base64.b64encode(wanted).decode()}, computed {base64.b64encode(digest.digest()).decode()}.", header)

    def answer(self) -> dict[str, str]:
        """The digests as response headers."""
        names = {"md5": "content-md5", "crc64": "x-ms-content-crc64"}
        return {names[digest.name]: base64.b64encode(digest.digest()).decode() for digest in self.digests}


class Crc64:
    """CRC-64/NVME, little-endian, as storage clients send it."""

    name = "crc64"
    _model = anycrc.Model("CRC64-NVME")

    def __init__(self) -> None:
        self._crc = 0

    def update(self, data: bytes) -> None:
        self._crc = self._model.calc(bytes(data), self._crc)

    def digest(self) -> bytes:
        return self._crc.to_bytes(8, "little")
