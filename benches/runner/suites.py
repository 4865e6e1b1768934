"""Posts through the gateway with AES-128-GCM, which modems offer, and with AES-128-CCM_8, which RFC 7252 has as mandatory.

As in `posts`, but all with the own client, which offers a single suite. The processor time of the gateway is compared. A
gateway of --baseline has AES-GCM.
"""

from __future__ import annotations

from functools import partial

from . import servers
from .options import Options
from .step import Bench, Step, answered
from .world import CCM_8, GCM

SUITES = {"gcm": GCM, "ccm8": CCM_8, "baseline": GCM}
NAMES = {
    "gcm": "posts with AES-128-GCM",
    "ccm8": "posts with AES-128-CCM_8",
    "baseline": "posts through the gateway of --baseline with AES-128-GCM",
}


def steps(options: Options) -> list[Step]:
    measured = [name for name in SUITES if name != "baseline" or options.baseline]
    return [Step(NAMES[name], options.seconds + 6, partial(posts, name)) for name in measured]


def posts(name: str, bench: Bench) -> str:
    sink = bench.sink()
    world = bench.world
    program = world.options.baseline if name == "baseline" else None
    gateway = servers.gateway(bench.children, world, sink.url, program=program)
    driver = bench.drivers.posts(
        "posts",
        gateway.address,
        world.fleet,
        bench.sessions,
        bench.seconds,
        *SUITES[name],
        watch=[gateway.pid, sink.pid],
        dtls="own",
    )
    return answered(bench, f"suites.{name}", driver.result(), {"gateway": gateway, "sink": sink})
