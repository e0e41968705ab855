"""What an installation of tamis looks like from outside: its files, its libraries, its imports."""

from __future__ import annotations

import importlib.metadata
import os
import pathlib
import shutil
import subprocess
import sys
import sysconfig

import pytest
from tests.packaging.systems import COMPILER, LIBC

import tamis

# Imported by the modules that use them, or by none: `import tamis` must stay cheap.
LATE = ["faiss", "ml_dtypes", "pandas", "pyarrow", "pydantic", "rich", "scipy", "sklearn", "torch"]
LATE += ["typer"]


def distribution() -> importlib.metadata.Distribution:
    """The installed tamis; without one, a failure where the suite promises one, else a skip."""
    try:
        return importlib.metadata.distribution("tamis")
    except importlib.metadata.PackageNotFoundError:
        if os.environ.get("CI"):
            pytest.fail("tamis is not installed: run `make test`")
        pytest.skip("tamis is not installed: run `make test`")


def run(*words: str, **environment: str) -> str:
    done = subprocess.run(
        words, env=os.environ | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(params=["_cpu", "_cuda"])
def extension(request: pytest.FixtureRequest) -> pathlib.Path:
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    path = pathlib.Path(str(distribution().locate_file(f"tamis/{request.param}{suffix}")))
    if request.param == "_cuda" and not path.exists():
        pytest.skip("tamis was built without CUDA")
    return path


def test_the_tests_import_the_installed_package() -> None:
    installed = pathlib.Path(str(distribution().locate_file("tamis/__init__.py")))
    assert pathlib.Path(tamis.__file__).samefile(installed)


def test_the_version_has_one_source() -> None:
    assert tamis.__version__ == distribution().version


def test_the_licence_is_declared_and_shipped() -> None:
    assert distribution().metadata["License-Expression"] == "Apache-2.0"
    files = distribution().files or []
    assert any(file.name == "LICENSE" for file in files)


def test_types_are_shipped() -> None:
    assert distribution().locate_file("tamis/py.typed").exists()  # type: ignore[attr-defined]


def test_only_the_package_is_installed() -> None:
    files = distribution().files or []
    tops = {file.parts[0] for file in files} - {"..", "__pycache__"}
    assert tops == {"tamis", f"tamis-{distribution().version}.dist-info"}
    suffixes = {file.suffix for file in files if file.parts[0] == "tamis"}
    assert suffixes <= {".py", ".pyc", ".pyi", ".typed", ".so", ".npz", ".safetensors", ".toml"}
    modules = {file.name.partition(".")[0] for file in files if file.suffix == ".so"}
    assert modules in ({"_cpu"}, {"_cpu", "_cuda"})


def test_the_extension_needs_the_system_libraries_only(extension: pathlib.Path) -> None:
    lines = run("ldd", str(extension)).splitlines()
    needed = {line.split()[0].rsplit("/", 1)[-1] for line in lines}
    assert needed - {"linux-vdso.so.1"} <= LIBC | COMPILER


def test_the_extension_exports_its_entry_point_only(extension: pathlib.Path) -> None:
    nm = shutil.which("nm")
    if nm is None:
        pytest.skip("nm (binutils) is missing")
    lines = run(nm, "--dynamic", "--defined-only", "--format=posix", str(extension)).splitlines()
    strong = {line.split()[0] for line in lines if line.split()[1] in "TDB"}
    assert strong == {f"PyInit_{extension.name.partition('.')[0]}"}


@pytest.mark.parametrize("module", ["tamis", "tamis.kernels"])
def test_import_stays_light(module: str) -> None:
    script = f"import sys, {module}; print(*sorted({{m.partition('.')[0] for m in sys.modules}}))"
    loaded = run(sys.executable, "-c", script).split()
    assert module.partition(".")[0] in loaded
    assert not set(LATE) & set(loaded)


def test_the_cuda_module_waits_until_it_is_asked_for() -> None:
    script = (
        "import sys, tamis, tamis.kernels, tamis.filters.semdedup;"
        "print('tamis._cuda' in sys.modules, tamis.info()['cuda']['reason'])"
    )
    told = run(sys.executable, "-c", script, CUDA_VISIBLE_DEVICES="").split(maxsplit=1)
    assert told[0] == "False" and told[1].strip() != "None"


@pytest.mark.parametrize("words", [(), ("dedup",), ("select",), ("info",)])
def test_every_command_has_help(words: tuple[str, ...]) -> None:
    command = pathlib.Path(sysconfig.get_path("scripts")) / "tamis"
    assert "Usage" in run(str(command), *words, "--help")
