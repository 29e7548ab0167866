"""Clients of a server on loopback: each sends one request after the other and notes the time.

python benchmarks/serving_load.py URL BODY CLIENTS REQUESTS
"""

import asyncio
import json
import sys
import time
from urllib.parse import urlsplit

import numpy as np

__all__ = ["main"]


def main(url: str, body: str, clients: int, requests: int) -> dict[str, float]:
    """Requests a second, their times, and how many were not answered with 200."""
    parts = urlsplit(url)
    host, port = parts.hostname or "127.0.0.1", parts.port or 80
    content = body.encode()
    head = (
        f"POST {parts.path or '/'} HTTP/1.1\r\nhost: {host}:{port}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
    )
    seconds: list[float] = []
    errors = 0
    left = requests

    async def client() -> None:
        nonlocal errors, left
        reader, writer = await asyncio.open_connection(host, port)
        while left > 0:
            left -= 1
            began = time.perf_counter()
            writer.write(head.encode() + content)
            answer = await reader.readuntil(b"\r\n\r\n")
            size = next(
                int(line.split(b":")[1])
                for line in answer.lower().splitlines()
                if line.startswith(b"content-length")
            )
            await reader.readexactly(size)
            seconds.append(time.perf_counter() - began)
            errors += b" 200 " not in answer.splitlines()[0]
        writer.close()

    async def all_clients() -> None:
        await asyncio.gather(*(client() for _ in range(clients)))

    began = time.perf_counter()
    asyncio.run(all_clients())
    total = time.perf_counter() - began
    times = 1000 * np.array(seconds)
    return {
        "requests": len(seconds),
        "errors": errors,
        "requests_per_second": len(seconds) / total,
        "median_ms": float(np.median(times)),
        "p99_ms": float(np.percentile(times, 99)),
    }


if __name__ == "__main__":
    _, url, body, clients, requests = sys.argv
    print(json.dumps(main(url, body, int(clients), int(requests))))
