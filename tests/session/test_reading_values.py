"""The reader of values: what is in its grammar, and our errors for everything else."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from belay_py import BelayError, ProtocolViolation, ValueNotSupported
from belay_py.session import values

FORM = "0123456789abcdef,-'\"\\xnrtbUAMDFC+[](){}<>^=*HNonTruFalElrange!~ é"


@settings(max_examples=1000)
@given(text=st.text(FORM) | st.text())
def test_text_that_is_no_value_raises_our_errors_only(text: str) -> None:
    try:
        value = values.parse(text)
    except (ValueNotSupported, ProtocolViolation) as error:
        value = str(error)
    assert "\n" not in repr(value)


@settings(max_examples=300)
@given(output=st.binary() | st.text("~ab:;0123456789,'").map(str.encode))
def test_output_that_holds_no_value_raises_our_errors_only(output: bytes) -> None:
    for framed in (output, b"~ab:" + output + b";%x;ab" % len(output)):
        try:
            values.read(framed, "ab")
        except BelayError as error:
            message = str(error)
        else:
            message = ""
        assert "\n" not in message


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "1,2,",
        "[",
        "]",
        "1,]",
        "[1,",
        "D00,",
        "D000000000000000,",
        "CD0000000000000000,",
        "{1,]",
        "Nope",
        "'a",
        "--1,",
        "1-,",
        ",",
        "1_0,",
        "0x1,",
        "'\\q'",
        "'\n'",
        "b'é'",
        "b'\\u0100'",
        "'\\U00110000'",
        "+b'a'",
        "'a'+",
        "[" * 100_000,
        "[" * 101 + "]" * 101,
        "*Z1,]",
        "*b1000,]",
        "*H'a']",
        "range(1)",
        "range(0, 1, 0)",
        "Ub'\\xff'",
    ],
    ids=lambda text: text[:20],
)
def test_what_is_not_in_the_grammar_is_refused(text: str) -> None:
    with pytest.raises((ProtocolViolation, ValueNotSupported)):
        values.parse(text)


def test_what_is_printed_in_the_middle_of_a_value_is_noticed() -> None:
    assert values.read(b"x~ab:[1,2,];6;ab", "ab") == [1, 2]
    assert values.read("~ab:'é';3;ab".encode(), "ab") == "é"
    assert values.read("~ab:'é';4;ab".encode(), "ab") == "é", "a board without Unicode counts bytes"
    with pytest.raises(ProtocolViolation, match="timer"):
        values.read(b"~ab:[1,52,];6;ab", "ab")
    for lost in (b"", b"~ab:1,", b"~ab:1,;2;", b"~aa:1,;2;ab", b"~ab:1,;x;ab", b"~ab:1,;;ab"):
        with pytest.raises(ProtocolViolation):
            values.read(lost, "ab")


def test_items_that_only_the_board_tells_apart() -> None:
    with pytest.raises(ValueNotSupported, match=r"item \[1\] has items that Python cannot keep"):
        values.parse("[1,{1,'a'1,'b']]")
    with pytest.raises(ValueNotSupported, match="the value has items"):
        values.parse("<[]]")
