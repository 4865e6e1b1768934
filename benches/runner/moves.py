"""All devices get another port at the same time, as when a NAT forgets its mappings, and then send their next message.

Each has made a post before. With a connection ID (RFC 9146) none needs a handshake. Their next messages are spread over
some seconds: if all were sent in the same moment, `upstream.max_in_flight` would be reached, which is another measurement.
"""

from __future__ import annotations

from contextlib import suppress

from . import servers
from .children import Failure, wait_for
from .options import Options
from .step import Bench, Step

# The seconds over which the next messages are spread.
SPREAD = 5.0
# How long the devices may take, in seconds: a request is given up after 93 s at most, and then there is a handshake.
WITHIN = 120.0


def steps(options: Options) -> list[Step]:
    return [Step(f"{options.moved:,} devices get another port at once", 10 + options.moved / 500, moves)]


def moves(bench: Bench) -> str:
    count = bench.world.options.moved
    sink = bench.sink()
    gateway = servers.gateway(bench.children, bench.world, sink.url)
    driver = bench.drivers.posts(
        "moves",
        gateway.address,
        bench.world.fleet,
        count,
        2 * WITHIN,
        "--work",
        "move",
        "--rate",
        f"{count / SPREAD:.1f}",
        watch=[gateway.pid],
        dtls="own",
    )
    driver.await_measuring(60 + count / 50)
    began, _ = sink.posts()
    ended = None
    # If some are not served, the report says how many.
    with suppress(Failure):
        ended = wait_for("the next post of each device", WITHIN, lambda: at_least(sink.posts(), 2 * count))
    # Lets the last responses arrive.
    driver.interrupt_after(0.5)
    result = driver.result()
    gateway.check()
    moved = result["moves"]
    bench.figures.add(
        {
            "moves.not_served": float(count - moved["served"]),
            "moves.after_handshake": float(moved["served_after_handshake"]),
            "moves.retransmissions": float(result["retransmissions"]),
            "moves.p50": (result["requests"].get("latency_ms") or {}).get("p50", 0.0),
            **({} if ended is None else {"moves.seconds": ended - began}),
        }
    )
    bench.figures.record_errors("moves", result["errors"], result["failures"])
    return f"{moved['served']:,} served, {moved['served_after_handshake']:,} after a handshake, {moved['lost']:,} lost"


def at_least(posts: tuple[float, int], wanted: int) -> float | None:
    """The time, once so many posts have arrived."""
    at, count = posts
    return at if count >= wanted else None
