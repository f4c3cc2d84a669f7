"""What tables look like in a terminal, and where there is none."""

import io
import sys

import pytest

from diffbench.cli.printing import show, show_pairs

ROWS = [{"name": "ddim", "what": "w" * 60}, {"name": "\x1b[31mred\u202e", "what": "[bold]no markup[/bold]"}]


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


def printed(monkeypatch, stream, **environment):
    for name in ("NO_COLOR", "FORCE_COLOR", "TERM", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"TERM": "xterm", **environment}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stdout", stream)
    show(ROWS, False, ("name", "what"))
    show_pairs([("label", "text " * 40)])
    return stream.getvalue()


def test_a_terminal_gets_bold_headings_at_its_width(monkeypatch):
    text = printed(monkeypatch, Terminal(), COLUMNS="60")
    assert text.startswith("\x1b[1mname") and "\x1b[31m" not in text
    plain = text.replace("\x1b[1m", "").replace("\x1b[0m", "")
    assert "\x1b" not in plain and max(map(len, plain.splitlines())) <= 60


@pytest.mark.parametrize(
    ("stream", "environment"),
    [
        (io.StringIO, {}),
        (io.StringIO, {"FORCE_COLOR": "1", "COLUMNS": "40"}),
        (Terminal, {"NO_COLOR": "1"}),
        (Terminal, {"TERM": "dumb"}),
    ],
)
def test_elsewhere_text_is_plain(monkeypatch, stream, environment):
    text = printed(monkeypatch, stream(), **environment)
    assert "\x1b" not in text and "\u202e" not in text and "\\u001b[31mred\\u202e" in text and "[bold]no" in text
    assert max(map(len, text.splitlines())) <= 100 and not any(line.endswith(" ") for line in text.splitlines())
    if stream is io.StringIO:
        assert max(map(len, text.splitlines())) > 90, "100 columns, whatever the terminal that it was started from"
