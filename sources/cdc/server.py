"""The pynumaflow server of the vertex ``cdc``."""

from pynumaflow.sourcer import SourceAsyncServer

from sources.cdc.handler import CdcSource


def build_server(source: CdcSource, sock_path: str, info_path: str) -> SourceAsyncServer:
    """A server that isn't started. One at a time for a source: a further one takes over from one that died."""
    source.give_again()
    return SourceAsyncServer(source, sock_path=sock_path, server_info_file=info_path)
