import stat

from hypothesis import given
from hypothesis import strategies as st

from lazward.cli import logs


class TestRotate:
    def test_a_writer_that_knows_nothing_of_it_goes_on(self, tmp_path):
        path = tmp_path / "x.log"
        fd = logs.open_log(path)
        with open(fd, "ab", buffering=0) as writer:
            for number in range(4):
                writer.write(b"%d" % number * 100)
                assert logs.rotate(path, 50, 2)
            writer.write(b"last")
        assert path.read_bytes() == b"last"
        assert (tmp_path / "x.log.1").read_bytes() == b"3" * 100
        assert (tmp_path / "x.log.2").read_bytes() == b"2" * 100
        assert not (tmp_path / "x.log.3").exists()

    def test_s20_all_of_them_are_private(self, tmp_path):
        logs.append(tmp_path / "x.log", "text")
        logs.rotate(tmp_path / "x.log", 1, 1)
        assert {stat.S_IMODE(p.stat().st_mode) for p in tmp_path.iterdir()} == {0o600}

    def test_not_before_the_size(self, tmp_path):
        logs.append(tmp_path / "x.log", "123")
        assert not logs.rotate(tmp_path / "x.log", 4, 1)
        assert logs.rotate(tmp_path / "x.log", 3, 0)
        assert (tmp_path / "x.log").read_bytes() == b""
        assert not logs.rotate(tmp_path / "missing.log", 0, 1)


class TestLastLines:
    @given(st.lists(st.text(alphabet="ab é", max_size=5), max_size=30), st.integers(0, 5))
    def test_are_the_last_that_are_not_blank(self, tmp_path_factory, lines, count):
        path = tmp_path_factory.mktemp("logs") / "x.log"
        path.write_text("\n".join(lines))
        expected = [line.rstrip() for line in lines if line.strip()]
        assert logs.last_lines(path, count) == (expected[-count:] if count else [])

    def test_from_a_mark_on(self, tmp_path):
        path = tmp_path / "x.log"
        logs.append(path, "old")
        mark = logs.size(path)
        assert logs.last_lines(path, 3, since=mark) == []
        logs.append(path, "new")
        assert logs.last_lines(path, 3, since=mark) == ["new"]
        path.write_text("rotated\n")
        assert logs.last_lines(path, 3, since=1000) == ["rotated"]

    def test_of_no_text(self, tmp_path):
        (tmp_path / "x.log").write_bytes(b"\xff\xfe\x00" * 100_000 + b"\nend\n")
        assert logs.last_lines(tmp_path / "x.log", 1) == ["end"]
        assert logs.last_lines(tmp_path / "missing", 1) == []
        assert logs.size(tmp_path / "missing") == 0
