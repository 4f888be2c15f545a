from __future__ import annotations

import os

from hypothesis import given
from hypothesis import strategies as st

from lazward.execution.runtime.order import COUNTS, Limits, Order, ProcessOrder, decode, encode, receive

field = st.binary(max_size=20).map(lambda text: text.replace(b"\0", b"\n"))
positive = st.floats(min_value=0, max_value=1e9)
process = st.builds(ProcessOrder, st.lists(field, min_size=1, max_size=4), st.lists(field, max_size=4), field)
limits = st.builds(Limits, st.none() | positive, *[st.none() | st.integers(1, 1 << 60)] * len(COUNTS))
orders = st.builds(Order, field, field, field, field, limits, positive, st.lists(process, max_size=3), st.none() | positive, st.integers(0, 1 << 60))


def plain(order: Order) -> tuple:
    named = {name: getattr(order, name) for name in Order.__slots__ if name not in ("processes", "limits")}
    return named, [getattr(order.limits, name) for name in Limits.__slots__], [(p.argv, p.env, p.log) for p in order.processes]


def through_a_pipe(*pieces: bytes) -> Order | None:
    out, into = os.pipe()
    try:
        for piece in pieces:
            os.write(into, piece)
        os.close(into)
        return receive(out)
    finally:
        os.close(out)


@given(orders)
def test_comes_back_as_it_was(order: Order):
    assert plain(decode(encode(order).partition(b"\n")[2])) == plain(order)


@given(orders, st.data())
def test_is_received_whole_or_not_at_all(order: Order, data: st.DataObject):
    said = encode(order)
    cut = data.draw(st.integers(0, len(said)))
    received = through_a_pipe(said[:cut])
    if cut < len(said):
        assert received is None
    else:
        assert received and plain(received) == plain(order)
