"""What is put on a board is what comes from it: any bytes, any name, each encoding, boards with small rings."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from belay_py.session.files.transfer import ENCODINGS

from .benches import Bench

if TYPE_CHECKING:
    from collections.abc import Iterator

    from belay_py.session.files.transfer import Encoding

# A ring that drops holds two windows, a request and an end: so much may come unasked in raw-paste.
BOARDS = [
    "window=32&ring=68&overrun=stall",
    "window=32&ring=68&overrun=drop",
    "window=128&ring=260&overrun=stall",
    "window=128&ring=260&overrun=drop",
    "window=512&ring=260&overrun=stall",
    "window=512&ring=1028&overrun=drop",
]
# What the REPL, Python's literals, frames, responses and fences are made of.
DELICATE = [b"\0", b"\1", b"\2", b"\3", b"\4", b"\5A\1", b"\x06", b">", b"OK", b"'", b"\\", b"\r", b"\n", b"7", b"~0;"]

contents = st.one_of(
    st.binary(max_size=400),
    st.lists(st.sampled_from([*DELICATE, b"\x04\x04>", b"\x04Traceback", b"\xff"]), max_size=300).map(b"".join),
    st.builds(lambda seed, size: random.Random(seed).randbytes(size), st.integers(), st.integers(0, 12_000)),
    st.builds(lambda piece, times: piece * times, st.binary(min_size=1, max_size=30), st.integers(0, 300)),
)
names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0/"), min_size=1, max_size=40).filter(
    lambda name: name not in (".", "..")
)


@pytest.fixture(scope="module", params=BOARDS)
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    made = Bench(f"virtual:?{request.param}")
    yield made
    made.close()


@pytest.fixture(scope="module")
def one_bench() -> Iterator[Bench]:
    made = Bench("virtual:?overrun=drop")
    made.run(made.session.execute("import os\nos.mkdir('/names')"))
    yield made
    made.close()


@pytest.mark.parametrize("encoding", [None, *ENCODINGS])
@given(content=contents)
@example(content=bytes(range(256)) * 20)
@example(content=b"")
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_in_each_encoding(bench: Bench, encoding: Encoding | None, content: bytes) -> None:
    files = bench.session.files
    done = bench.run(files.put(content, "/file", encoding=encoding))
    assert (done.path, done.size, done.resumed_from) == ("/file", len(content), 0)
    assert bench.run(files.get("/file")) == content
    if encoding is not None and content:
        assert done.encoding == encoding


@given(name=names, content=st.binary(max_size=50))
@example(name=" ", content=b"1")
@example(name='it\'s "so" \\n', content=b"2")
@example(name="a/../b".replace("/", "\\"), content=b"3")
@example(name="Größe 温度.txt", content=b"4")
@example(name="\x03\x04\r\n\x01", content=b"5")
@example(name="x" * 200, content=b"6")
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_name(one_bench: Bench, name: str, content: bytes) -> None:
    bench = one_bench
    files = bench.session.files
    bench.run(bench.session.execute("for n in os.listdir('/names'):os.remove('/names/'+n)"))
    done = bench.run(files.put(content, f"/names/{name}"))
    assert done.path == f"/names/{name}"
    assert bench.run(bench.session.evaluate("os.listdir('/names')")) == [name]
    assert bench.run(files.get(f"/names/{name}")) == content


@pytest.mark.parametrize("raw_paste", ["refused", "absent"])
@pytest.mark.parametrize("encoding", [None, *ENCODINGS])
def test_boards_without_raw_paste(raw_paste: str, encoding: Encoding | None) -> None:
    bench = Bench(f"virtual:?raw_paste={raw_paste}")
    try:
        content = bytes(range(256)) * 12 + b"text, " * 400
        done = bench.run(bench.session.files.put(content, "/file", encoding=encoding))
        assert done.encoding == (encoding or "deflate+binary")
        assert bench.run(bench.session.files.get("/file")) == content
    finally:
        bench.close()


@pytest.mark.parametrize("encoding", [None, "binary"])
def test_a_mebibyte_on_a_board_with_a_small_heap(encoding: Encoding | None) -> None:
    # 256 KiB of heap, none of which comes back before an execution has ended.
    bench = Bench("virtual:?memory=262144&overrun=drop")
    try:
        content = random.Random(0).randbytes(1 << 20)
        seen: list[tuple[int, int | None]] = []

        def progress(done: int, total: int | None) -> None:
            seen.append((done, total))

        done = bench.run(bench.session.files.put(content, "/big", encoding=encoding, progress=progress))
        assert done.size == len(content)
        assert (seen[0], seen[-1]) == ((0, len(content)), (len(content), len(content)))
        assert seen == sorted(seen)
        seen.clear()
        assert bench.run(bench.session.files.get("/big", progress=progress)) == content
        assert (seen[0], seen[-1]) == ((0, len(content)), (len(content), len(content)))
        assert seen == sorted(seen)
    finally:
        bench.close()
