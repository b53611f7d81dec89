"""What the pages show is what happens."""

from __future__ import annotations

import itertools
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from belay_py import load_settings

from .blocks import (
    PAGES,
    ROOT,
    SERVES,
    TIMEOUT,
    USES,
    BadBlock,
    Block,
    all_blocks,
    difference,
    environment,
    parse_blocks,
    run_python,
    steps,
)

BLOCKS = all_blocks()
PROGRAMS = [
    (block, following.text if following and following.language == "text" and following.touches else "")
    for block, following in zip(BLOCKS, [*BLOCKS[1:], None], strict=True)
    if block.language == "python"
]
CONSOLES = [block for block in BLOCKS if block.language == "console" and not block.needs_hardware]
PAIRS = [
    (block, following)
    for block, following in itertools.pairwise(BLOCKS)
    if block.title == SERVES and following.title == USES
]

needs_sh = pytest.mark.skipif(sys.platform == "win32", reason="console blocks are written for sh")


# ---- Programs ----


def run_program(text: str, shown: str, folder: Path) -> str:
    """Run a program with warnings as errors; tell what is wrong with what it prints, or with how it ends."""
    program = folder / "program.py"
    program.write_text(text, encoding="utf-8")
    done = run_python(program, folder)
    if done.returncode or done.stderr:
        return f"status {done.returncode}\n{done.stderr}"
    return difference(shown, done.stdout)


@pytest.mark.parametrize(
    ("block", "shown"),
    [(block, shown) for block, shown in PROGRAMS if not block.needs_hardware],
    ids=[str(block) for block, _ in PROGRAMS if not block.needs_hardware],
)
def test_a_program_prints_what_is_shown(block: Block, shown: str, tmp_path: Path) -> None:
    assert not run_program(block.text, shown, tmp_path)


def test_programs_are_well_typed(tmp_path: Path) -> None:
    files = []
    for number, (block, _) in enumerate(PROGRAMS):
        files.append(tmp_path / f"block_{number}_of_{Path(block.page).stem.replace('-', '_')}_line_{block.line}.py")
        files[-1].write_text(block.text, encoding="utf-8")
    config = f"--config-file={ROOT / 'pyproject.toml'}"
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", config, f"--cache-dir={tmp_path / 'cache'}", *files],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=TIMEOUT * 5,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == "toml"], ids=str)
def test_settings_are_right(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in [name for name in os.environ if name.startswith("BELAY_")]:
        monkeypatch.delenv(variable)
    (tmp_path / "belay.toml").write_text(block.text, encoding="utf-8")
    load_settings(tmp_path / "belay.toml")


# ---- Consoles ----

_MARK = "-- the end of one command --"


def run_console(block: Block, folder: Path) -> str:
    """Type a block's commands into one shell; tell what is wrong with what comes."""
    found = steps(block)
    # The mark's own printf must not change what $? says to the next command.
    script = "\n".join(
        f"{step.command}\nbelay_status=$?; printf '%s\\n' '{_MARK}'; (exit $belay_status)" for step in found
    )
    done = subprocess.run(
        ["/bin/sh", "-c", script],
        cwd=folder,
        env=environment(folder),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    outputs = done.stdout.split(f"{_MARK}\n")[:-1]
    if len(outputs) != len(found):
        return f"only {len(outputs)} of {len(found)} commands ended:\n{done.stdout}"
    wrong = ((step.command, difference(step.shown, output)) for step, output in zip(found, outputs, strict=True))
    return "\n".join(f"$ {command}\n{what}" for command, what in wrong if what)


@needs_sh
@pytest.mark.parametrize("block", [block for block in CONSOLES if not block.title], ids=str)
def test_commands_print_what_is_shown(block: Block, tmp_path: Path) -> None:
    assert not run_console(block, tmp_path)


@needs_sh
@pytest.mark.parametrize(("serving", "using"), PAIRS, ids=str)
def test_a_board_that_is_served_answers_other_tools(serving: Block, using: Block, tmp_path: Path) -> None:
    [step] = steps(serving)
    command, *arguments = shlex.split(step.command)
    env = environment(tmp_path)
    server = subprocess.Popen(
        [tmp_path / "commands" / command, *arguments],
        cwd=tmp_path,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with server:
        try:
            assert server.stdout is not None
            assert not difference(step.shown, server.stdout.readline())
            assert not run_console(using, tmp_path)
            server.send_signal(signal.SIGTERM)
            assert server.wait(TIMEOUT) == 0
        finally:
            server.kill()


def test_every_block_that_could_run_does() -> None:
    titles = {block.title for block in CONSOLES} | {block.title for block, _ in PROGRAMS if not block.needs_hardware}
    assert titles == {"", SERVES, USES}
    assert len(PAIRS) == sum(block.title == SERVES for block in BLOCKS) == sum(block.title == USES for block in BLOCKS)
    assert {block.page for block in BLOCKS} >= {"README.md", "index.md", "getting-started.md", "cli.md"}


# ---- These tests see what is wrong ----


def test_a_wrong_program_is_found(tmp_path: Path) -> None:
    assert not run_program("print('a', 1)", "a 1\n", tmp_path)
    assert "- b" in run_program("print('a')", "b\n", tmp_path)
    assert "SystemExit" in run_program("raise SystemExit('SystemExit')", "", tmp_path)
    assert "ResourceWarning" in run_program("open(__file__)", "", tmp_path)


@needs_sh
def test_wrong_output_of_a_command_is_found(tmp_path: Path) -> None:
    def console(text: str) -> str:
        [block] = parse_blocks("page.md", f"```console\n{text}\n```")
        return run_console(block, tmp_path)

    assert not console("$ belay-py --version\nbelay-py ...\n$ false\n$ echo $?\n1")
    assert "belay-py 0." in console("$ belay-py --version\nbelay-py 17.0")
    assert "echo 2" in console("$ echo 1\n1\n$ echo 2\n3")
    assert "only 0 of 1" in console("$ exit 3")


@pytest.mark.parametrize("text", ["```pyton\n```", "```\n```", '```python title="open\n```', "```python\nx = 1\n"])
def test_a_block_of_no_known_kind_is_refused(text: str) -> None:
    with pytest.raises(BadBlock):
        parse_blocks("page.md", text)


# ---- The README's first lines, and links ----


def test_the_readme_opens_with_two_commands() -> None:
    readme = [block for block in BLOCKS if block.page == "README.md"]
    first, second, printed = readme[:3]
    assert [block.language for block in readme[:3]] == ["sh", "sh", "text"]
    [run_code], [run_tests] = first.text.splitlines(), second.text.splitlines()
    assert run_code.startswith("python3 -m venv .venv && .venv/bin/pip install ")
    assert run_tests.startswith("python3 -m venv .venv && .venv/bin/pip install ")
    assert run_tests.endswith(" && .venv/bin/python -m pytest")
    last = shlex.split(run_code.rpartition(" && ")[2])
    assert last[:4] == [".venv/bin/belay-py", "exec", "--port", "virtual:"]
    done = subprocess.run(
        [sys.executable, "-m", "belay_py", *last[1:]],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=True,
    )
    assert done.stdout == printed.text


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"], ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    missing = [target for target in targets if "://" not in target and not (page.parent / target).exists()]
    assert missing == []
