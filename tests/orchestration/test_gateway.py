"""What the gateway is told of runs: whose tokens count at the endpoints of a workspace (S5)."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize("mode", ["AADToken", "AMLToken", "Key"])
async def test_s5_a_runs_token_counts_from_its_submission_to_its_end(place, tmp_path, mode: str):
    place.put("onlineEndpoints/asked", {"authMode": mode}, location="local")
    await place.start()
    key = place.job("runner", f"touch {tmp_path}/begun; while [ ! -e {tmp_path}/go ]; do sleep 0.05; done")

    def seen() -> tuple[str, ...]:
        return next((e.runs for e in place.gateway.states[-1].endpoints if e.name == "asked"), ()) if place.gateway.states else ()

    await place.until((tmp_path / "begun").exists, lambda: place.facts("jobs/runner"))
    if mode == "Key":
        assert seen() == ()
    else:
        await place.until(lambda: seen() == ("runner",), seen)
        told = next(e for e in place.gateway.states[-1].endpoints if e.name == "asked")
        assert told.home == key.rsplit("/jobs/", 1)[0]
    (tmp_path / "go").touch()
    assert (await place.over("runner"))["status"] == "Completed"
    await place.until(lambda: seen() == (), seen)
