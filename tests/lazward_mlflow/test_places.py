from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from lazward_mlflow import places
from lazward_mlflow.places import Place, find, make


def test_found_with_its_server_the_oldest_first(tmp_path):
    made = [make(str(tmp_path), base) for base in ("https://b:1/x", "https://a/y", "https://b:1/x")]
    assert [(p.folder, p.base) for p in find(str(tmp_path))] == [(p.folder, p.base) for p in made]
    assert [p.folder for p in find(made[1].folder)] == [made[1].folder]
    assert len(list(tmp_path.iterdir())) == 2
    for place in made:
        assert Path(place.folder).stat().st_mode & 0o777 == 0o700
        place.release()


def test_the_lock_tells_whether_its_process_lives(tmp_path):
    code = f"import time; from lazward_mlflow.places import make; print(make({str(tmp_path)!r}, 'https://a/y').folder, flush=True); time.sleep(600)"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    folder = process.stdout.readline().strip()
    (place,) = find(str(tmp_path))
    assert place.folder == folder and not place.claim()
    process.kill()
    process.communicate()
    assert place.claim() and not Place(folder, "").claim()
    place.release()
    assert Place(folder, "").claim()


def test_what_was_refused_outlives_the_rest(tmp_path):
    place = make(str(tmp_path), "https://a/y")
    Path(place.journal).write_text("x")
    place.save({"at": 1})
    place.reject({"m": "POST"}, 400, "no")
    place.remove()
    assert not Path(place.journal).exists() and [r["reason"] for r in place.refused()] == ["no"]
    os.unlink(place.rejected)
    place.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_state_that_cannot_be_read_begins_anew(tmp_path):
    place = make(str(tmp_path), "https://a/y")
    for text in ("", "{", "[]"):
        (Path(place.folder) / "state.json").write_text(text)
        assert place.state() == {"at": 0, "sent": 0, "ids": {}}


def test_links_are_not_followed(tmp_path):
    place = make(str(tmp_path / "spool"), "https://a/y")
    os.symlink("/etc/passwd", place.journal)
    assert find(str(tmp_path)) == []
    os.unlink(place.journal)
    os.symlink(tmp_path / "spool", tmp_path / "again")
    assert len(find(str(tmp_path))) == 1


def test_one_that_was_killed_before_it_had_begun_is_no_fault(tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "server.json").write_text('{"base": ')
    assert places.find(str(tmp_path)) == []
