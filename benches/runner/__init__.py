"""Parts of benches/run.

`command` is the main program: it reads `options`, has `environment` check that everything needed is installed, and runs
the `schedule` round by round. Each kind of measurement is a file with its steps: `posts`, `suites`, `gets`,
`handshakes`, `memory`, `moves`, `latency`, `storm`, `flood` and more. They start `servers` and `drivers`, which are
`children`, in a `world` of certificates and configuration, and record their results in `figures`. `targets` compares
these with the targets, and `report` writes the report.
"""
