from __future__ import annotations

import socket

from hypothesis import given
from hypothesis import strategies as st

from lazward.execution.runtime.parallel import messages

HEADERS = st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=20), max_size=3)


class Pipe:
    def __init__(self) -> None:
        self.data = b""

    def sendall(self, piece: bytes) -> None:
        self.data += piece


@given(said=st.lists(st.tuples(HEADERS, st.binary(max_size=50)), max_size=6), cut=st.integers(1, 30))
def test_messages_arrive_whole_however_they_are_cut(said, cut):
    pipe, reader = Pipe(), messages.Reader()
    for header, body in said:
        messages.send(pipe, header, body)
    heard = [m for at in range(0, len(pipe.data), cut) for m in reader.feed(pipe.data[at : at + cut])]
    assert heard == said


def test_one_at_a_time_and_the_end():
    ours, theirs = socket.socketpair()
    messages.send(ours, {"a": 1}, b"x" * 1000)
    messages.send(ours, {"b": 2})
    ours.close()
    assert messages.receive(theirs) == ({"a": 1}, b"x" * 1000)
    assert messages.receive(theirs) == ({"b": 2}, b"")
    assert messages.receive(theirs) is None
    theirs.close()
