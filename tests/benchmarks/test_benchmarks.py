"""What the benchmarks stand on: the wire, the floor, and the page that they write into."""

from __future__ import annotations

import hashlib
import os
import random
import sys
import threading
import time
import tty
from typing import TYPE_CHECKING

import pytest

from tests.benchmarks.figures import Bars, Lines, draw
from tests.benchmarks.growth import Growth
from tests.benchmarks.pages import replace_part, table
from tests.benchmarks.peers.drivers.floor import Floor
from tests.benchmarks.peers.links import LINKS, connected
from tests.benchmarks.peers.report import ratio

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import PtyBoard

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the benchmarks are for pseudo-terminals")


@pytest.mark.parametrize("name", ["usb", "115200"])
def test_a_paced_wire_brings_every_byte_and_none_too_soon(name: str) -> None:
    link, data = LINKS[name], random.Random(1).randbytes(9000)
    master, slave = os.openpty()
    tty.setraw(slave)
    with connected(link, os.ttyname(slave)) as path:
        near = os.open(path, os.O_RDWR | os.O_NOCTTY)
        for source, target in ((near, master), (master, near)):
            began = time.perf_counter()
            sender = threading.Thread(target=send, args=(source, data))
            sender.start()
            seen = b""
            while len(seen) < len(data):
                seen += os.read(target, 65536)
            took = time.perf_counter() - began
            sender.join()
            assert seen == data
            assert took >= link.seconds(len(data))
        os.close(near)
    os.close(master)
    os.close(slave)


def send(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


@pytest.mark.parametrize("loses", [False, True])
def test_the_floor_runs_code_and_moves_files(
    make_pty_board: Callable[..., PtyBoard], tmp_path: Path, loses: bool
) -> None:
    board = make_pty_board(overrun="drop" if loses else "stall")
    floor = Floor(board.port, 115_200, loses=loses)
    floor.connect()
    for name, data in (("random.bin", random.Random(2).randbytes(3000)), ("text.txt", b"a line of text\n" * 600)):
        source, back = tmp_path / name, tmp_path / "back"
        source.write_bytes(data)
        floor.put(source, name)
        floor.get(name, back)
        assert back.read_bytes() == data
        code = f"import hashlib\nprint(hashlib.sha256(open('/{name}','rb').read()).digest())"
        assert floor.execute(code) == repr(hashlib.sha256(data).digest()).encode() + b"\r\n"
    floor.close()


def test_a_part_of_a_page_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Title\n\n<!-- a: begin -->\nold\n<!-- a: end -->\n\nThe rest.\n")
    replace_part(page, "a", "new")
    replace_part(page, "b", "added")
    replace_part(page, "a", r"newer \1")
    assert page.read_text() == (
        "# Title\n\n<!-- a: begin -->\n\nnewer \\1\n\n<!-- a: end -->\n\nThe rest.\n\n"
        "<!-- b: begin -->\n\nadded\n\n<!-- b: end -->\n"
    )
    assert table(["", "ms"], [["x", "1"]]) == "|  | ms |\n|---|---:|\n| x | 1 |"


def test_a_ratio_is_the_median_of_those_within_a_round() -> None:
    floor = {"execute": [[1.0, 1.0, 9.0], [2.0], [4.0]], "put": [2.0, 4.0]}
    assert ratio({"execute": [[3.0], [4.0], [4.0]]}, floor, "execute") == 2.0  # 3, 2 and 1
    assert ratio({"put": [9.0]}, floor, "put") == 3.0
    assert ratio({}, floor, "put") is None


def test_a_line_of_growth_goes_where_points_differ_least_in_proportion() -> None:
    growth = Growth("t", "things", {1: 3.0, 4: 9.0, 10: 21.0}, {1: 1.0, 4: 1.0, 10: 1.0})
    assert growth.line() == pytest.approx((1.0, 2.0))
    assert [row[-1] for row in growth.rows()] == ["1.00 x", "1.00 x", "1.00 x"]
    growth.seconds[1000] = 4002.0
    fixed, each = growth.line()
    assert abs(fixed + each - 3.0) < 1.0  # the largest does not outweigh the others


def test_figures_are_svg_with_every_label(tmp_path: Path) -> None:
    from xml.etree import ElementTree

    draw([Bars("bars & more", [("one", 0.1, "0.1 s"), ("none", None, "failed")], ("one",))], tmp_path / "bars.svg")
    draw([Lines("lines", "n", "s", {"a": [(1, 1), (100, 50)]})], tmp_path / "lines.svg")
    words = {"".join(element.itertext()) for element in ElementTree.parse(tmp_path / "bars.svg").iter()}
    assert {"bars & more", "one", "0.1 s", "failed"} <= words
    assert ElementTree.parse(tmp_path / "lines.svg").getroot().tag.endswith("svg")
