"""A process in front of a vertex's server: what it is to the plane, a test keeps at the other end of the line.

``python relay.py <socket of the server>`` serves in the folder ``RELAY_FOLDER`` as any vertex does.
"""

import contextlib
import os
import socket
import sys
import threading
from pathlib import Path

FILES = {"source.sock": "sourcer-server-info", "map.sock": "mapper-server-info", "sink.sock": "sinker-server-info"}


def pump(origin: socket.socket, to: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while chunk := origin.recv(65536):
            to.sendall(chunk)
    for end in (origin, to):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


def accept(listener: socket.socket, server: str) -> None:
    while True:
        near, _ = listener.accept()
        far = socket.socket(socket.AF_UNIX)
        try:
            far.connect(server)
        except OSError:
            near.close()
            continue
        for ends in ((near, far), (far, near)):
            threading.Thread(target=pump, args=ends, daemon=True).start()


def main(server: str, folder: Path) -> None:
    threads = []
    for name, info in FILES.items():
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(folder / name))
        listener.listen()
        (folder / info).write_text("relay")
        threads.append(threading.Thread(target=accept, args=(listener, server), daemon=True))
    for thread in threads:
        thread.start()
    print("relaying", flush=True)
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main(sys.argv[1], Path(os.environ["RELAY_FOLDER"]))
