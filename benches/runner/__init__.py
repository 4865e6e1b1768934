"""Parts of benches/run.

`command` is the whole of it: it reads `options`, has `environment` look whether all is there, and goes through the
`schedule` round by round. Each kind of measurement is a file that gives steps: `posts`, `gets`, `handshakes`,
`memory`, `latency`, `storm`, `flood`. They start `servers` and `drivers`, which are `children`, in a `world` of
certificates and configuration, and put what they see into `figures`. `bars` holds these against what was promised,
and `report` writes it all down.
"""
