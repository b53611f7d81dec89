"""Fuzzing for as long as is wanted: ``python -m tests.fuzz receiver --seconds 600``, or ``decoder``.

With atheris (``pip install atheris``; no part of the extra ``dev``, since it has no wheels for every Python) the search
is led by what the inputs reach. Without it, or with ``--blind``, inputs are seeds changed at random. An input that
crashes, hangs for a minute or takes a gigabyte ends it, and its file's name is printed; ``--input FILE`` plays it.
"""

from __future__ import annotations

import argparse
import importlib
import random
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import FrameType

LONGEST_INPUT = 2048
HANG_S = 60  # of the clock: other programs may have the machine


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", choices=["receiver", "decoder"])
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0, help="0 takes another one each time")
    parser.add_argument("--blind", action="store_true")
    parser.add_argument("--input", type=Path, help="play one input")
    parser.add_argument(
        "--found", type=Path, default=Path(tempfile.gettempdir()), help="where inputs that fail are kept"
    )
    wanted = parser.parse_args()
    if wanted.input is not None:
        importlib.import_module(f"tests.fuzz.{wanted.target}").run(wanted.input.read_bytes())
        return 0
    if not wanted.blind:
        try:
            import atheris  # type: ignore[import-untyped, import-not-found, unused-ignore]  # where it is installed
        except ImportError:
            sys.stdout.write("atheris is not installed: inputs are changed at random, blindly\n")
        else:
            return led(atheris, wanted)
    return blind(wanted)


def led(atheris: Any, wanted: argparse.Namespace) -> int:
    """Let libFuzzer lead. It ends the process itself, with a status that is not 0 when something failed."""
    with atheris.instrument_imports(include=["belay_py"]):
        target = importlib.import_module(f"tests.fuzz.{wanted.target}")
    corpus = Path(tempfile.mkdtemp(prefix=f"belay-fuzz-{wanted.target}-"))
    for number, seed in enumerate(target.seeds()):
        (corpus / f"seed-{number:04}").write_bytes(seed)
    sys.stdout.write(f"the corpus is kept in {corpus}\n")
    options = [
        f"-max_total_time={wanted.seconds}", f"-max_len={LONGEST_INPUT}", f"-timeout={HANG_S}", "-rss_limit_mb=1024",
        f"-seed={wanted.seed}", f"-artifact_prefix={wanted.found}/belay-fuzz-{wanted.target}-", "-print_final_stats=1",
        str(corpus),
    ]  # fmt: skip
    atheris.Setup([sys.argv[0], *options], target.run)
    atheris.Fuzz()
    return 0


def blind(wanted: argparse.Namespace) -> int:
    """Change seeds at random, and tell how many inputs were tried."""
    target = importlib.import_module(f"tests.fuzz.{wanted.target}")
    chance = random.Random(wanted.seed or None)
    seeds = target.seeds()
    end = time.monotonic() + wanted.seconds
    signal.signal(signal.SIGALRM, _hung)
    tried = 0
    while time.monotonic() < end:
        data = changed(chance, seeds)
        signal.alarm(HANG_S)
        try:
            target.run(data)
        except BaseException:
            path = wanted.found / f"belay-fuzz-{wanted.target}-{tried}"
            path.write_bytes(data)
            sys.stdout.write(f"input {tried} fails and is in {path}: {data!r}\n")
            raise
        finally:
            signal.alarm(0)
        tried += 1
    sys.stdout.write(f"{tried} inputs were tried, and none failed\n")
    return 0


def _hung(number: int, frame: FrameType | None) -> None:
    raise TimeoutError(f"an input took more than {HANG_S} s")


def changed(chance: random.Random, seeds: list[bytes]) -> bytes:
    """Return a seed, changed in some places."""
    data = bytearray(chance.choice(seeds))
    for _ in range(chance.randint(1, 6)):
        at = chance.randint(0, len(data))
        end = min(len(data), at + chance.randint(1, 12))
        match chance.randrange(6):
            case 0:
                data[at:end] = b""
            case 1:
                data[at:at] = data[at:end] * chance.randint(1, 40)
            case 2:
                data[at:at] = chance.randbytes(chance.randint(1, 8))
            case 3:
                other = chance.choice(seeds)
                start = chance.randint(0, len(other))
                data[at:at] = other[start : start + chance.randint(1, 60)]
            case 4:
                data[at:at] = bytes(chance.choices(b"\x01\x04>\xffR\x00OK\r\n'[]{},~:;", k=chance.randint(1, 6)))
            case _ if at < len(data):
                data[at] ^= 1 << chance.randrange(8)
    return bytes(data[:LONGEST_INPUT])


if __name__ == "__main__":
    sys.exit(main())
