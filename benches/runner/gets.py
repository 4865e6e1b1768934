"""GETs that libcoap's servers answer themselves: the cost of DTLS and CoAP in C, without an upstream.

The driver and the number of sessions are the same as for the gateway. Only the processor time of the server's process
is compared, so it does not matter that driver and server share the cores.
"""

from __future__ import annotations

from functools import partial

from . import servers
from .drivers import Result
from .options import Options
from .servers import Server
from .step import Bench, Step, answered


def steps(options: Options) -> list[Step]:
    return [
        Step(f"GETs of {program}", options.seconds + 6, partial(gets, library))
        for library, program in servers.LIBCOAP.items()
    ]


def gets(library: str, bench: Bench) -> str:
    result, server = driven(bench, library)
    return answered(bench, library, result, {"server": server})


def driven(bench: Bench, library: str, *pace: str) -> tuple[Result, Server]:
    """Runs the driver against one of libcoap's servers; in a closed loop if no pace is given."""
    server = servers.libcoap(bench.children, bench.world, library)
    # The resource that costs the server least: a constant text.
    driver = bench.drivers.load(
        "gets", server.address, "", bench.world.fleet, bench.sessions, bench.seconds, *pace, watch=[server.pid]
    )
    return driver.result(), server
