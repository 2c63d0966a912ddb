"""Pages that programs under test serve by HTTP on loopback."""

import asyncio


async def page(port: int, path: str, host: str = "::1") -> str:
    """The answer, from its status on. Raises OSError when nobody listens."""
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    answer = (await reader.read()).decode()
    writer.close()
    await writer.wait_closed()
    return answer.removeprefix("HTTP/1.1 ")


async def page_if_up(port: int, path: str) -> str:
    """The same; empty when nobody listens."""
    try:
        return await page(port, path)
    except OSError:
        return ""
