"""Text from elsewhere made inert for the place it goes to: a terminal, a CSV cell, Markdown, LaTeX.

Names, reasons and paths come from suites, cards, run folders and other machines. Whatever prints one passes it through
the function of its format; pages of HTML escape by their templates and show ``printable`` text.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any

_ACTING = ("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp")


def printable(text: object) -> str:
    """Text with control and direction-changing characters shown as escapes, so that no name can garble a page."""
    return "".join(f"\\u{ord(c):04x}" if unicodedata.category(c) in _ACTING else c for c in str(text))


def terminal_lines(text: object) -> str:
    """Printable text of several lines; only its line ends act."""
    return "\n".join(printable(line.expandtabs()) for line in str(text).split("\n"))


# What spreadsheets take for the beginning of a formula, in the forms of East Asian keyboards, too.
_FORMULA = re.compile(r"\s*[=+\-@＝＋－＠]")


def csv_field(value: Any) -> Any:
    """A value for a CSV file: text that a spreadsheet would run as a formula is text again by a leading apostrophe."""
    if not isinstance(value, str):
        return value
    text = printable(value)
    return f"'{text}" if _FORMULA.match(text) else text


_MARKDOWN = re.compile(r"([\\`*_\[\]<>#|~$])")
_MENTION = re.compile(r"@(?=\w)")


def markdown_text(text: object) -> str:
    """Text that Markdown shows as it is; nobody is notified by a name that looks like theirs."""
    plain = printable(text).replace("&", "&amp;")
    return _MENTION.sub("@<!-- -->", _MARKDOWN.sub(r"\\\1", plain))


_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "–": "--", "±": r"$\pm$", "·": r"$\cdot$",
    "†": r"$\dagger$", "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}",
}  # fmt: skip
_NUMBER = r"[-+]?[0-9]+(?:\.[0-9]*)?(?:e[-+]?[0-9]+)?"
_WITH_INTERVAL = re.compile(rf"({_NUMBER}) ± ({_NUMBER})")


def latex_text(text: object) -> str:
    """Text that LaTeX sets as it is, also at the beginning of a row, where [ and * belong to the command before."""
    plain = "".join(_LATEX.get(character, character) for character in printable(text))
    return f"{{}}{plain}" if plain[:1] in ("[", "*") else plain


def latex_entry(text: str, strong: bool, tie: bool = False) -> str:
    """A field of a table: a number with its half-width in mathematics, anything else as text; a tie has a dagger."""
    mark = r"^{\dagger}" if tie else ""
    if found := _WITH_INTERVAL.fullmatch(text):
        value, half = found.groups()
        return rf"$\mathbf{{{value} \pm {half}}}$" if strong else rf"${value} \pm {half}{mark}$"
    plain = latex_text(text)
    return rf"\textbf{{{plain}}}" if strong else plain + (f"${mark}$" if mark else "")
