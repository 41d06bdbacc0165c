"""How peers get here: from the registries that this machine's own npm, pip and apt know, into the build folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.native import Unavailable
from benchmarks.places import BUILD

FOLDER = BUILD / "peers"
PATIENCE = 300.0


def run(command: Sequence[str], what: str, folder: Path | None = None) -> str:
    """What it prints. Raises Unavailable naming `what` when it fails."""
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=PATIENCE)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"{what}: {error}") from None
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise Unavailable(f"{what}: {said[-1] if said else f'{command[0]} ended with code {done.returncode}'}")
    return done.stdout


def node_packages(name: str, *packages: str) -> tuple[str, dict[str, str]]:
    """node, and the environment in which a script finds the packages, installed into a folder called `name`."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise Unavailable("There is no node with npm.")
    folder = FOLDER / name
    modules = folder / "node_modules"
    if not all((modules / _bare(package) / "package.json").exists() for package in packages):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_text('{"private": true}\n')
        # Optional and peer dependencies are other transports, one of them from no registry.
        options = ("--no-audit", "--no-fund", "--omit=optional", "--omit=peer", "--legacy-peer-deps")
        run((npm, "install", *options, *packages), f"npm install {' '.join(packages)}", folder)
    return node, {"NODE_PATH": str(modules), "NODE_ENV": "production"}


def _bare(package: str) -> str:
    """A package's name without the version that is asked for."""
    name, _, _ = package.rpartition("@")
    return name or package


def node_version(name: str, package: str) -> str:
    found = json.loads((FOLDER / name / "node_modules" / package / "package.json").read_text())
    node = run(("node", "--version"), "node").strip().removeprefix("v")
    return f"{found['version']}, node {node}"


def python_packages(name: str, *packages: str) -> Path:
    """The interpreter of a virtual environment that has the packages."""
    folder = FOLDER / name
    done = folder / "installed"
    python = folder / "bin" / "python"
    if not done.exists():
        run((sys.executable, "-m", "venv", "--clear", str(folder)), "python -m venv")
        run((str(python), "-m", "pip", "install", "--quiet", *packages), f"pip install {' '.join(packages)}")
        done.touch()
    return python


def debian_packages(name: str, *packages: str) -> Path:
    """A folder with the packages' files. They are unpacked, not installed: nothing starts, and no root is needed."""
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise Unavailable("This is no Debian.")
    folder = FOLDER / name
    done = folder / "unpacked"
    if not done.exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        what = f"apt-get download {' '.join(packages)}"
        try:
            run(("apt-get", "download", "--quiet", *packages), what, folder)
        except Unavailable:
            # A fresh machine has no lists yet.
            if os.geteuid():
                raise
            run(("apt-get", "update", "--quiet"), "apt-get update")
            run(("apt-get", "download", "--quiet", *packages), what, folder)
        for archive in folder.glob("*.deb"):
            run(("dpkg-deb", "--extract", str(archive), str(folder / "root")), f"dpkg-deb {archive.name}")
        done.touch()
    return folder / "root"
