"""A function as it is sent to a board: once in each life of the interpreter, under a name that says what is in it.

The function keeps its name and its lines. Its header is written anew: without annotations, and with the defaults as the
values that they have on the host. Around it stands a function of ours, from which it gets itself and the other tasks
that it calls, so that functions of one name do not get in each other's way. Its other names are those of the board's
main namespace.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from belay_py.errors import InvalidArguments, InvalidCode
from belay_py.session.execution import encode_code
from belay_py.session.functions.literals import UNPACK, write
from belay_py.session.parser import parse
from belay_py.session.tracebacks import Source

if TYPE_CHECKING:
    from collections.abc import Mapping

    from belay_py.session.functions.source import FunctionSource

_NAME: Final = "_belay_f"
_DIGITS: Final = 8  # of a hash, by which boards tell one function from all others


@dataclass(frozen=True, slots=True)
class Definition:
    """What makes one function known to a board."""

    name: str
    """The short name by which it is called."""
    code: bytes
    needs: tuple[Definition, ...]
    """What is to be known before: the tasks that it calls."""
    unpacks: bool
    """Whether its defaults need `UNPACK`."""
    sent: Source
    """The lines of ``code`` and their places, for what the board says when it gets them."""
    called: Source
    """The same, for what it says when the function runs."""


def define(
    name: str,
    bound: str | None,
    signature: inspect.Signature,
    source: FunctionSource,
    *,
    imports: Iterable[str],
    needs: Mapping[str, Definition],
) -> Definition:
    """Put a function into the form in which it is sent.

    ``bound`` is the name that it gets in the main namespace, None for none; ``imports`` are statements, ``needs`` the
    tasks that it calls by the names by which it does. Raises `InvalidCode` for what no board would take.
    """
    body = source.lines
    lines: list[tuple[int, str]] = [(body.opening_line, statement) for statement in imports]
    lines.append((body.opening_line, f"def {_NAME}({','.join(needs)}):"))
    lines.append((body.opening_line, f" def {name}({parameters(name, signature)}):{body.opening}"))
    lines += [(number, text if inside else f" {text}") for number, text, inside in body.rest]
    lines.append((body.opening_line, f" return {name}"))
    made = f"{_NAME}({','.join(need.name for need in needs.values())})"
    text = "\n".join([text for _, text in lines])
    digest = hashlib.sha256(f"{text}\n{bound}={made}".encode("utf-8", "surrogatepass")).hexdigest()[:_DIGITS]
    short = f"{_NAME}{digest}"
    lines.append((body.opening_line, "=".join(filter(None, (bound, short, made)))))
    lines.append((body.opening_line, f"del {_NAME}"))
    code = encode_code("\n".join([text for _, text in lines]))
    texts, numbers = tuple([text for _, text in lines]), tuple([number for number, _ in lines])
    sent = Source(texts, source.file, numbers)
    called = Source(texts, source.file, numbers, is_whole=False)
    return Definition(short, code, tuple(needs.values()), UNPACK.name in text, sent, called)


def parameters(name: str, signature: inspect.Signature) -> str:
    """Write a function's parameters for a board."""
    written: list[str] = []
    kinds = inspect.Parameter
    for parameter in signature.parameters.values():
        if parameter.kind is kinds.KEYWORD_ONLY and not any(text.startswith("*") for text in written):
            written.append("*")
        mark = "*" if parameter.kind is kinds.VAR_POSITIONAL else "**" if parameter.kind is kinds.VAR_KEYWORD else ""
        default = ""
        if parameter.default is not kinds.empty:
            try:
                default = f"={write(parameter.default)}"
            except InvalidArguments as error:
                raise InvalidCode(f"the default of {parameter.name!r} of {name} cannot be sent: {error}") from None
        written.append(f"{mark}{parameter.name}{default}")
    return ",".join(written)


def import_statements(imports: str | Iterable[str]) -> tuple[str, ...]:
    """Return statements for modules' names, or for what are such statements already. Raises `InvalidCode`."""
    found: list[str] = []
    for text in imports if isinstance(imports, Iterable) and not isinstance(imports, str) else [imports]:
        statement = f"import {text}" if isinstance(text, str) and text.replace(".", "a").isidentifier() else text
        try:
            body = parse(statement).body if isinstance(statement, str) else []
        except (SyntaxError, ValueError):
            body = []
        if not body or not all(isinstance(node, ast.Import | ast.ImportFrom) for node in body):
            raise InvalidCode(
                f"imports has {text!r}; each must be a module's name, or a statement such as 'from machine import Pin'"
            )
        found.append(";".join(map(ast.unparse, body)))
    return tuple(found)
