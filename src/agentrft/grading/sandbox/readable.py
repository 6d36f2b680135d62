"""Which files python graders may read: those of the interpreter and of the packages beside it, never agentrft's."""

import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

_PACKAGE = Path(__file__).parents[2]
_SYSTEM = (
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/nix/store",
    "/etc/ld.so.cache",
    "/usr/share/zoneinfo",
    "/usr/share/nltk_data",
    "/usr/local/share/nltk_data",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Readable:
    """Absolute paths.

    Attributes:
        packages: folders that the grader imports from, besides the standard library.
        paths: files, and folders with all that is in them.
        hidden: folders inside those, which are not shown.
    """

    packages: tuple[str, ...]
    paths: tuple[str, ...]
    hidden: tuple[str, ...]


def find_readable(package: Path = _PACKAGE) -> Readable:
    """What this interpreter needs.

    Args:
        package: the folder of agentrft itself, to be hidden wherever it lies.
    """
    packages = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    base, prefix, executable = Path(sys.base_prefix), Path(sys.prefix), Path(sys.executable)
    paths = [
        *(base / name for name in ("lib", "lib64")),
        *(Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")),
        *map(Path, packages),
        *(folder / "nltk_data" for folder in (prefix, prefix / "share", prefix / "lib")),
        executable,
        executable.resolve(),
        prefix / "pyvenv.cfg",
        *map(Path, _SYSTEM),
    ]
    present = tuple(dict.fromkeys(str(path) for path in paths if path.is_absolute() and path.exists()))
    return Readable(packages=tuple(packages), paths=present, hidden=(str(package.resolve()),))
