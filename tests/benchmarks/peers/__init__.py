"""belay_py beside the other tools for the raw REPL: ``python -m tests.benchmarks.peers``.

`installs` makes an environment for each tool, `links` and `boards` what it is measured on, `worker` and the drivers run
inside that environment, `measuring` interleaves the tools, `report` writes the tables and the figures.
"""
