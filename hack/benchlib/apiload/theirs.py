"""The method in grpcio's asyncio API, with mutual TLS.

Bytes go without a serialiser, which spares gRPC what protobuf would cost.
"""

import asyncio
from pathlib import Path

import grpc
import grpc.aio

from benchlib.apiload.load import PAYLOAD, measure

SERVICE, METHOD = "bench.v1", "Echo"


async def _echo(request: bytes, _context: object) -> bytes:
    return request


def _files(folder: Path) -> tuple[bytes, bytes, bytes]:
    """Root, key and certificate, as benchlib.certificates writes them."""
    root, key, certificate = (
        (folder / name).read_bytes() for name in ("root.pem", "leaf.key", "leaf.pem")
    )
    return root, key, certificate


async def serve(address: str, folder: Path) -> None:
    """Serves until killed."""
    root, key, certificate = _files(folder)
    server = grpc.aio.server()
    handlers = {METHOD: grpc.unary_unary_rpc_method_handler(_echo)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    credentials = grpc.ssl_server_credentials(
        [(key, certificate)], root_certificates=root, require_client_auth=True
    )
    server.add_secure_port(address, credentials)
    await server.start()
    print("serving", flush=True)
    await server.wait_for_termination()


async def call(
    address: str, folder: Path, calls: int, rate: float, seconds: float
) -> dict[str, float]:
    """Measures a server at `address`."""
    credentials = grpc.ssl_channel_credentials(*_files(folder))
    # The certificate is of the relays that other scenarios measure, whatever their address.
    options = [("grpc.ssl_target_name_override", "peer")]
    async with grpc.aio.secure_channel(address, credentials, options=options) as channel:
        method = channel.unary_unary(f"/{SERVICE}/{METHOD}")
        return await measure(lambda: method(PAYLOAD, timeout=10), calls, rate, seconds)


def run_server(address: str, folder: Path) -> None:
    """Serves until killed."""
    asyncio.run(serve(address, folder))


def run_client(
    address: str, folder: Path, calls: int, rate: float, seconds: float
) -> dict[str, float]:
    """Measures."""
    return asyncio.run(call(address, folder, calls, rate, seconds))
