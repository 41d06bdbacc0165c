"""nginx with the nchan module: a publish-subscribe server in C, one channel for each room."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import processes
from benchmarks.contestants import Contestant, Running
from benchmarks.native import Unavailable
from benchmarks.peers.installing import debian_packages, run
from benchmarks.script import Arguments, Message, Speech, request
from gameserver.bench.machine import Cores
from gameserver.bench.store import free_port

CONFIGURATION = """
load_module {module};
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 40000; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  nchan_shared_memory_size 256m;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location ~ /room/(\\w+)$ {{
      nchan_subscriber websocket;
      nchan_channel_id $1;
      nchan_subscriber_first_message newest;
      nchan_websocket_ping_interval 0;
    }}
    location ~ /publish/(\\w+)$ {{
      nchan_publisher websocket;
      nchan_channel_id $1;
      nchan_store_messages off;
    }}
  }}
}}
"""
COMPILED_IN = Path("/var/lib/nginx")
"""With the module nginx looks for the places of its temporary files here as well, whatever it is told."""


class Nchan(Contestant):
    name = "nchan"

    def prepare(self) -> str:
        root = _root()
        try:
            COMPILED_IN.mkdir(parents=True, exist_ok=True)
        except PermissionError:
            raise Unavailable(f"Debian's nginx wants {COMPILED_IN}, which only root can make.") from None
        found = subprocess.run((str(_nginx(root)), "-v"), capture_output=True, text=True, check=False)
        if found.returncode:
            raise Unavailable(f"nginx does not run: {found.stderr.strip()[-200:]}")
        nginx = re.search(r"nginx/([\d.]+)", found.stderr)
        [archive] = root.parent.glob("libnginx-mod-nchan_*.deb")
        nchan = run(("dpkg-deb", "--field", str(archive), "Version"), "dpkg-deb").strip()
        return f"{nchan.partition(':')[2].partition('+')[0]}, nginx {nginx[1] if nginx else 'unknown'}"

    @contextmanager
    def start(self, cores: Cores, rooms: int) -> Iterator[Running]:
        root, port = _root(), free_port()
        [module] = root.glob("usr/lib/nginx/modules/ngx_nchan_module.so")
        with tempfile.TemporaryDirectory() as folder:
            configuration = Path(folder, "nginx.conf")
            configuration.write_text(CONFIGURATION.format(module=module, folder=folder, port=port))
            log = str(Path(folder, "error.log"))
            command = (str(_nginx(root)), "-p", folder, "-e", log, "-c", str(configuration))
            with processes.started(command, cores.server, port=port) as (process, _):
                yield Running(port, processes.children(process.pid))

    def listeners(self) -> Speech:
        return Speech(request("/room/{1}"))

    def publishers(self) -> Speech:
        return Speech(request("/publish/{1}"))

    def listener(self, running: Running, room: int, number: int) -> Arguments:
        return (b"r%d" % room,)

    def message(self, payload: str) -> Message:
        return Message(payload.encode())


def _root() -> Path:
    return debian_packages("nchan", "nginx", "libnginx-mod-nchan")


def _nginx(root: Path) -> Path:
    return root / "usr" / "sbin" / "nginx"
