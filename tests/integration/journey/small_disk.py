"""A disk that can be filled: a file system of its own where this user may mount one, else a limit of the kernel's."""

import contextlib
import os
import resource
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tests.product import Product

SIZE_BYTES = 12 * 1024 * 1024
PIECE_BYTES = 64 * 1024


LIMIT_BYTES = 4096
"""Less than the first page in the store's journal takes, and more than the product's log has."""
WAYS = ("mounted", "limited") if os.geteuid() == 0 else ("limited",)


class SmallDisk(Protocol):
    """Holds the data of ``product``."""

    product: Product
    refusal: str
    """How the API's answer begins that refuses to write on it."""
    line: str
    """How the log says it."""

    def fill(self) -> None:
        """Nothing more fits, while the product runs."""
        ...

    def clear(self) -> None:
        """There is room again."""
        ...


@dataclass
class Mounted:
    """See :class:`SmallDisk`."""

    product: Product
    refusal: str = "The disk of the store is full"
    line: str = "The disk is full"

    @property
    def _filler(self) -> Path:
        return self.product.folder / "data" / "filler"

    def fill(self) -> None:
        """See :class:`SmallDisk`."""
        for size in (PIECE_BYTES, 1):
            with contextlib.suppress(OSError), self._filler.open("ab", buffering=0) as file:
                while True:
                    file.write(b"x" * size)

    def clear(self) -> None:
        """See :class:`SmallDisk`."""
        self._filler.unlink()


@dataclass
class Limited:
    """See :class:`SmallDisk`: no file grows. The database doesn't call this a full disk, but a write that failed."""

    product: Product
    refusal: str = "The store can't be reached; nothing was changed."
    line: str = "The store can't be written now"

    def fill(self) -> None:
        """See :class:`SmallDisk`."""
        self._limit(LIMIT_BYTES)

    def clear(self) -> None:
        """See :class:`SmallDisk`."""
        self._limit(resource.RLIM_INFINITY)

    def _limit(self, file_bytes: int) -> None:
        # The soft one only, so that it can be lifted again; Python makes an error of its signal.
        resource.prlimit(self.product.pid, resource.RLIMIT_FSIZE, (file_bytes, resource.RLIM_INFINITY))


@contextlib.contextmanager
def small_disk(folder: Path, way: str) -> Iterator[SmallDisk]:
    """For a product that runs; its log is elsewhere."""
    data = folder / "data"
    data.mkdir(parents=True)
    if way == "mounted":
        options = f"size={SIZE_BYTES},mode=700"
        subprocess.run(("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(data)), check=True)  # noqa: S607  (where it is differs)
    try:
        with Product(folder) as product:
            yield Mounted(product) if way == "mounted" else Limited(product)
    finally:
        if way == "mounted":
            subprocess.run(("umount", str(data)), check=True)  # noqa: S607  (where it is differs)
