import os
import socket

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from lazward.cli import ports
from lazward.cli.output import CliError
from lazward.cli.ports import Busy, Listener, Wish, choose

numbers = st.integers(1, 65535) | st.sampled_from([8443, 8444, 8453, 8454])
wanted = st.none() | st.just(0) | numbers
wishes = st.builds(Wish, st.sampled_from([8443, 8444]), wanted, st.none() | numbers)


class TestChoose:
    @given(wishes, wishes, st.sets(numbers))
    def test_two_free_ports_or_the_reason(self, control, gateway, busy):
        assume(control.default != gateway.default)
        free = iter(range(30000, 40000))
        try:
            chosen = choose(control, gateway, lambda p: p not in busy, lambda: next(p for p in free if p not in busy))
        except Busy as refused:
            fixed = {w.asked if w.asked is not None else w.kept for w in (control, gateway)}
            assert refused.port in fixed and refused.port != 0
            assert refused.port in busy or len({w.asked if w.asked is not None else w.kept for w in (control, gateway)} - {0, None}) == 1
            return
        assert chosen[0] != chosen[1] and not set(chosen) & busy
        for wish, port in zip((control, gateway), chosen, strict=True):
            if wish.asked:
                assert port == wish.asked
            elif wish.asked is None and wish.kept:
                assert port == wish.kept

    def test_the_usual_first_start(self):
        assert choose(Wish(8443, None, None), Wish(8444, None, None), lambda p: True, lambda: 1) == (8443, 8444)

    def test_a_busy_default(self):
        assert choose(Wish(8443, None, None), Wish(8444, None, None), lambda p: p not in (8443, 8444), lambda: 1) == (8453, 8454)

    def test_the_other_ones_default_was_asked_for(self):
        assert choose(Wish(8443, 8444, None), Wish(8444, None, None), lambda p: True, lambda: 1) == (8444, 8454)
        assert choose(Wish(8443, None, None), Wish(8444, 8443, None), lambda p: True, lambda: 1) == (8453, 8443)


class TestIsFree:
    @pytest.mark.parametrize("address", ["127.0.0.1", "::1", "0.0.0.0"])
    def test_not_where_a_client_of_localhost_would_meet_another(self, address):
        try:
            other = ports.listen(address, 0)
        except OSError:
            pytest.skip(f"this machine has no {address}")
        with other:
            port = other.getsockname()[1]
            assert not ports.is_free("127.0.0.1", port)
        assert ports.is_free("127.0.0.1", port)

    def test_not_an_address_of_another_machine(self):
        assert not ports.is_free("192.0.2.1", ports.any_free("127.0.0.1"))


class TestListener:
    def test_accepts_before_anybody_serves_and_refuses_when_closed(self):
        listener = Listener("127.0.0.1", ports.any_free("127.0.0.1"))
        assert listener.open() == listener.open()
        socket.create_connection(("127.0.0.1", listener.port), timeout=5).close()
        listener.close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", listener.port), timeout=5)
        listener.open()
        socket.create_connection(("127.0.0.1", listener.port), timeout=5).close()
        listener.close()

    def test_is_not_inherited_by_accident(self):
        listener = Listener("127.0.0.1", 0)
        assert not os.get_inheritable(listener.open())
        listener.close()


class TestRefuseBusy:
    @pytest.mark.parametrize(("busy", "words"), [
        (Busy("port", 8443, kept=False), ["Port 8443 is busy on 127.0.0.1", "--port"]),
        (Busy("gateway port", 9, kept=True), ["9", "--gateway-port"]),
    ])
    def test_names_port_and_way_out(self, busy, words):
        with pytest.raises(CliError) as caught:
            ports.refuse_busy(busy, "127.0.0.1")
        assert all(word in caught.value.cause + caught.value.next_step for word in words)
