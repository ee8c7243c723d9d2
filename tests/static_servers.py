"""nginx and Caddy with the configuration of deploy/, serving a folder on a free port for as long as a test needs it."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

DEPLOY = Path(__file__).resolve().parents[1] / "deploy"
_START_SECONDS = 20.0
_NGINX = """
{user}pid {folder}/nginx.pid;
daemon off;
error_log {folder}/error.log;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {site}
}}
"""
_CADDY = "{{\n\tadmin off\n\tauto_https off\n}}\n{site}"


def program(name: str) -> str | None:
    """Where a server is installed; Debian keeps nginx where only root looks."""
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")


@contextmanager
def nginx(folder: Path, site: Path, change: Callable[[str], str] = lambda text: text) -> Iterator[int]:
    """Serve `site` with deploy/nginx.conf, which `change` may change; `folder` is for what nginx writes."""
    with socket.socket() as listener:
        # nginx takes over the sockets of the nginx before it, as when it is replaced by a newer one: no port to guess.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        port = int(listener.getsockname()[1])
        text = change((DEPLOY / "nginx.conf").read_text())
        text = _replaced(text, r"listen 80;", f"listen 127.0.0.1:{port};")
        text = _replaced(text, r"root /var/lib/paperwire/site;", f"root {site};")
        user = "user root;\n" if os.geteuid() == 0 else ""
        (folder / "nginx.conf").write_text(_NGINX.format(folder=folder, site=text, user=user))
        command = [str(program("nginx")), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
        environment = {**os.environ, "NGINX": f"{listener.fileno()};"}
        with _running(command, port, environment, pass_fds=(listener.fileno(),)):
            yield port


@contextmanager
def caddy(folder: Path, site: Path, change: Callable[[str], str] = lambda text: text) -> Iterator[int]:
    """Serve `site` with deploy/Caddyfile, which `change` may change; `folder` is for what Caddy writes."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    text = change((DEPLOY / "Caddyfile").read_text())
    text = _replaced(text, r"(?m)^papers\.example\.org \{", f"http://127.0.0.1:{port} {{")
    text = _replaced(text, r"root \* /var/lib/paperwire/site", f"root * {site}")
    (folder / "Caddyfile").write_text(_CADDY.format(site=text))
    command = [str(program("caddy")), "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")]
    environment = {**os.environ, "HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    with _running(command, port, environment):
        yield port


@contextmanager
def _running(
    command: list[str], port: int, environment: dict[str, str], pass_fds: tuple[int, ...] = ()
) -> Iterator[None]:
    process = subprocess.Popen(
        command, env=environment, pass_fds=pass_fds, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    try:
        _wait_for(port, process)
        yield
    finally:
        process.terminate()
        process.communicate(timeout=_START_SECONDS)


def _wait_for(port: int, process: subprocess.Popen[str]) -> None:
    """Return once somebody answers at the port; says what the server said where it gave up."""
    deadline = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=_START_SECONDS) as connection:
                connection.sendall(b"HEAD / HTTP/1.0\r\n\r\n")
                if connection.recv(1):
                    return
        except ConnectionError:
            time.sleep(0.02)
    process.terminate()
    raise AssertionError(f"the server did not come up: {process.communicate(timeout=_START_SECONDS)[1]}")


def _replaced(text: str, pattern: str, by: str) -> str:
    changed, count = re.subn(pattern, lambda _: by, text)
    assert count == 1, pattern
    return changed
