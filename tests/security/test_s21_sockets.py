"""S21: every socket that the server or anything it starts listens on is loopback, or a private unix socket. Ports that user code opens by
itself are its own; the address it is told (MASTER_ADDR) is loopback."""

from __future__ import annotations

import ipaddress
import os
import stat
import sys
from pathlib import Path

import pytest

from tests.security.whole import Whole

pytestmark = [pytest.mark.xdist_group("whole"), pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")]




def processes_of(whole: Whole) -> dict[int, str]:
    """Every process that has the data dir in its command line, environment or working directory."""
    root, found = str(whole.server.data_dir), {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            words = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes() + os.fsencode(os.readlink(entry / "cwd"))
        except OSError:
            continue
        if root.encode() in words:
            found[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ")
    return found


def listening(pids: set[int]) -> tuple[set[tuple[str, int, int]], set[str]]:
    """((address, port, pid) of TCP and UDP, paths of unix sockets) that these processes listen on."""
    inodes: dict[str, int] = {}
    for pid in pids:
        for fd in Path(f"/proc/{pid}/fd").iterdir():
            try:
                target = os.readlink(fd)
            except OSError:
                continue
            if target.startswith("socket:["):
                inodes[target[8:-1]] = pid
    internet: set[tuple[str, int, int]] = set()
    for table, listens in (("tcp", "0A"), ("tcp6", "0A"), ("udp", "07"), ("udp6", "07")):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == listens and fields[9] in inodes:
                address, _, port = fields[1].partition(":")
                raw = bytes.fromhex(address)
                packed = b"".join(raw[i : i + 4][::-1] for i in range(0, len(raw), 4))
                internet.add((str(ipaddress.ip_address(packed)), int(port, 16), inodes[fields[9]]))
    unix = {line.split()[7] for line in Path("/proc/net/unix").read_text().splitlines()[1:] if len(line.split()) > 7 and line.split()[6] in inodes}
    return internet, unix


def test_s21_every_listening_socket_is_loopback_or_private(whole: Whole):
    processes = processes_of(whole)
    parts = whole.server.pids()
    assert {"supervisor", "control", "worker", "gateway"} <= set(parts) and set(parts.values()) - {0} <= set(processes)
    assert whole.payloads[0]["pid"] in processes and whole.job["pid"] in processes  # the model server and the job are among them
    internet, unix = listening(set(processes))
    assert len({port for _, port, _ in internet}) >= 3  # control plane, gateway, the job's rank
    for address, port, pid in internet:
        assert ipaddress.ip_address(address).is_loopback, (address, port, processes[pid])
    assert any("admin" in path for path in unix) and len(unix) >= 4, unix
    for path in unix:
        assert not path.startswith("@"), f"{path} is abstract: anybody may connect to it"
        assert Path(path).parent.stat().st_uid == os.getuid()  # the socket may have another name since: it is bound, then moved into place
        assert stat.S_IMODE(Path(path).parent.stat().st_mode) & 0o077 == 0, path


def test_s21_ranks_are_told_to_meet_on_loopback(whole: Whole):
    assert ipaddress.ip_address(whole.job["environ"]["MASTER_ADDR"]).is_loopback
