"""Hatchling's build hook for a wheel whose hot modules are compiled by mypyc: docs/decisions/0012.

Asked for by HATCH_BUILD_HOOK_ENABLE_CUSTOM=1; the modules are named in pyproject.toml. Their sources stay in the wheel
beside the compiled ones, which Python prefers.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PACKAGE = "gameserver"


class CompileHook(BuildHookInterface):  # type: ignore[type-arg]
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Have the modules compiled, in a copy; raises CalledProcessError when that fails."""
        if version == "editable":
            return
        root = Path(self.root)
        chosen = {path for pattern in self.config["modules"] for path in root.glob(pattern)}
        chosen -= {root / path for path in self.config["interpreted"]}
        modules = sorted(str(path.relative_to(root)) for path in chosen if path.name != "__init__.py")
        self._copy = Path(tempfile.mkdtemp(prefix="gameserver-"))
        shutil.copytree(root / PACKAGE, self._copy / PACKAGE, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
        config = root / "pyproject.toml"
        order = [sys.executable, str(Path(__file__).resolve()), json.dumps([f"--config-file={config}", *modules])]
        subprocess.run(order, cwd=self._copy, check=True, env={"CFLAGS": "-O2 -w", **os.environ})
        for library in sorted(self._copy.rglob("*.so")):
            path = library.relative_to(self._copy)
            if path.parts[0] != "build":
                build_data["force_include"][str(library)] = str(path)
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if version != "editable":
            shutil.rmtree(self._copy)


def compile_here(arguments: list[str]) -> None:
    """Compile the modules, named by their paths in the working directory, and leave the libraries beside them."""
    from mypyc.build import mypycify
    from setuptools import setup

    setup(
        name=PACKAGE,
        packages=[],
        ext_modules=mypycify(arguments, opt_level="2", debug_level="0", multi_file=True),
        script_args=["--quiet", "build_ext", "--inplace", "--parallel", str(os.cpu_count() or 1)],
    )


if __name__ == "__main__":
    compile_here(json.loads(sys.argv[1]))
