from __future__ import annotations

import json
import signal

import httpx

from tests.cli.conftest import SECONDS, Place, until


def allow_root(place: Place) -> None:
    """Containers run tests as root, which Jupyter Server refuses by default."""
    folder = place.folder / "jupyter"
    folder.mkdir()
    config = {"ServerApp": {"allow_root": True}}
    (folder / "jupyter_server_config.json").write_text(json.dumps(config))


def test_no_command_serves_the_page_with_the_file_and_the_store_that_were_named(
    place: Place,
) -> None:
    allow_root(place)
    process = place.begin("--config", "syncmon.toml", "--no-browser", "--port", "0")
    found = place.folder / "runtime"
    until(lambda: list(found.glob("jpserver-*.json")) or process.poll() is not None, "a server")
    assert process.poll() is None
    (info,) = found.glob("jpserver-*.json")
    until(lambda: info.read_text().endswith("}"), "the server's file is whole")
    server = json.loads(info.read_text())
    headers = {"Authorization": f"token {server['token']}"}
    with httpx.Client(base_url=server["url"], headers=headers, timeout=SECONDS) as client:
        until(lambda: _answers(client), "the server answers")
        assert client.get("syncmon").is_success
        listed = client.get("api/v1/tasks").json()
    assert "nightly" in json.dumps(listed)
    assert (place.folder / "store.db").exists()
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=SECONDS)
    assert "Traceback" not in output


def test_file_in_the_working_directory_is_not_read_by_a_server_and_that_is_told(
    place: Place,
) -> None:
    process = place.begin("--no-browser", "--port", "0")
    assert process.stdout is not None
    first, second = process.stdout.readline(), process.stdout.readline()
    assert first.startswith("! ./syncmon.toml is not read")
    assert "jupyter syncmon --config syncmon.toml" in second


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("api").is_success
    except httpx.HTTPError:
        return False
