"""Nonces are fresh: within a process, and beside a forked child."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from belay_py.session import nonces

FORKS = """
import os
from belay_py.session import nonces
nonces.of_execution()
reader, writer = os.pipe()
if not os.fork():
    os.write(writer, "".join(nonces.of_execution() for _ in range(100)).encode())
    os._exit(0)
os.wait()
theirs = os.read(reader, 65536).decode()
ours = [nonces.of_execution() for _ in range(100)]
print(len(theirs), sum(one in theirs for one in ours))
"""


def test_no_nonce_comes_twice_and_all_can_be_sent() -> None:
    several = [nonces.of_execution() for _ in range(1000)]
    assert len({*several}) == len(several)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{15}", nonce) for nonce in several)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_a_forked_child_draws_its_own() -> None:
    done = subprocess.run([sys.executable, "-c", FORKS], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1500", "0"]
