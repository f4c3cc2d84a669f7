"""What a plain YAML scalar means here: YAML 1.2's core schema, and an error where readers of YAML disagree."""

from __future__ import annotations

import re

MAX_DIGITS = 18

_NULL = {"", "~", "null", "Null", "NULL"}
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_YES_NO = re.compile(r"(?:yes|no|on|off)", re.IGNORECASE)
_DECIMAL = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_SPECIAL = re.compile(r"[-+]?\.(?:inf|nan)", re.IGNORECASE)
_LEADING_ZERO = re.compile(r"[-+]?0[0-9]+")
_OTHER_BASE = re.compile(r"[-+]?0(?:x[0-9a-fA-F_]+|o[0-7_]+|b[01_]+)")
_GROUPED = re.compile(r"[-+]?[0-9][0-9.]*_[0-9_.]*")
_BASE_60 = re.compile(r"[-+]?[0-9]+(?::[0-5]?[0-9])+(?:\.[0-9]*)?")

# Control characters, lone surrogates and noncharacters: no name, path or number needs them.
FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def plain_value(text: str) -> None | bool | int | float | str:
    """Value of an unquoted scalar; ValueError, with a sentence for the user, where its meaning is in doubt."""
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if _YES_NO.fullmatch(text):
        raise ValueError("is true or false to some readers of YAML and text to others; write true, false, or quote it")
    if _DECIMAL.fullmatch(text):
        if len(text.lstrip("+-")) > MAX_DIGITS:
            raise ValueError(f"is a whole number of more than {MAX_DIGITS} digits")
        return int(text)
    if _SPECIAL.fullmatch(text):
        raise ValueError("is not a finite number")
    if _LEADING_ZERO.fullmatch(text) or _OTHER_BASE.fullmatch(text):
        raise ValueError("is octal or hexadecimal to some readers of YAML; write it in decimal, or quote it")
    if _BASE_60.fullmatch(text):
        raise ValueError("is a number in base 60 to some readers of YAML; write a plain number, or quote it")
    if _GROUPED.fullmatch(text):
        raise ValueError("has underscores in a number; write the digits alone, or quote it")
    if _FLOAT.fullmatch(text):
        return _finite(text)
    return text


def _finite(text: str) -> float:
    value = float(text) + 0.0  # -0.0 becomes 0.0
    if value in (float("inf"), float("-inf")):
        raise ValueError("is too large for a number")
    return value


def needs_quotes(text: str) -> bool:
    """Whether ``text`` written plainly would be read as something else than itself."""
    try:
        return plain_value(text) != text
    except ValueError:
        return True
