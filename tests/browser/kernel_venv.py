"""Makes a virtual environment with a release of ipykernel, for the tests of notebooks.

    python -m tests.browser.kernel_venv 6.31.0      # prints its Python
    python -m tests.browser.kernel_venv newest

It borrows all but ipykernel, and what that needs, from the environment that runs this.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

# The Python of the kernel that the tests of notebooks run; empty: the one that runs the tests.
KERNEL_PYTHON = os.environ.get("SYNCMON_KERNEL", "")


def make(release: str) -> Path:
    """The environment's Python; a second call costs nothing, but for the newest."""
    folder = Path(sys.prefix) / "kernels" / release
    python = folder / "bin" / "python"
    if python.exists() and release != "newest":
        return python
    venv.create(folder, with_pip=True)
    wanted = "ipykernel" if release == "newest" else f"ipykernel=={release}"
    install = [str(python), "-m", "pip", "install", "--quiet", "--upgrade", wanted]
    subprocess.run([*install, "--disable-pip-version-check"], check=True)
    [site] = (folder / "lib").glob("python*/site-packages")
    borrowed = sysconfig.get_path("purelib")
    # A path alone would not follow the paths that are named there in turn: syncmon's own is one.
    (site / "zz-borrowed.pth").write_text(f"import site; site.addsitedir({borrowed!r})\n")
    return python


if __name__ == "__main__":
    print(make(sys.argv[1]))
