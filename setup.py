"""What pyproject.toml cannot say: the native CPU kernels are compiled where there is a compiler.

Without one the installation goes on, and `cpu_kernels: auto` runs torch operations and says so in its statistics;
`python -m kernels.native.build` compiles later.
"""

import runpy
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

BUILD = Path(__file__).resolve().parent / "kernels" / "native" / "build.py"


class NativeKernels(build_ext):
    """Runs kernels/native/build.py; the library is called through its C ABI, it is no Python module."""

    def get_ext_filename(self, fullname: str) -> str:
        return f"{fullname.replace('.', '/')}.so"

    def build_extension(self, ext: Extension) -> None:
        code = runpy.run_path(str(BUILD))
        try:
            code["build"](Path(self.get_ext_fullpath(ext.name)))
        except code["BuildError"] as error:
            print(f"native CPU kernels: not built, torch operations will run instead: {error}", file=sys.stderr)


setup(
    ext_modules=[Extension("kernels.native.libmneme_kernels", sources=[], optional=True)],
    cmdclass={"build_ext": NativeKernels},
)
