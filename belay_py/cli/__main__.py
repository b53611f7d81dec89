"""``python -m belay_py.cli``: the command line, where its script is not on the PATH."""

from __future__ import annotations

from belay_py.cli import main

if __name__ == "__main__":
    main()
