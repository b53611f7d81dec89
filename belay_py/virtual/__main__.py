"""The entry of a board's own process; people use ``belay-py virtual``."""

from belay_py.virtual.worker import main

if __name__ == "__main__":
    main()
