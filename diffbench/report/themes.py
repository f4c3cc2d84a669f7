"""What figures look like in a paper, on a slide, on a dark page: colours, sizes, widths; the theme in force."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import matplotlib as mpl
from matplotlib.colors import to_rgb

from diffbench.document.words import unknown
from diffbench.errors import UsageError

# Okabe & Ito (2008): told apart under the common colour-vision deficiencies; yellow is left out, too pale on white.
# Two more, for the eighth sampler and the ninth.
_ON_WHITE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#7F4F24", "#9C9C9C")
# The same hues, each light enough for a contrast of 4.5 with the ground.
_ON_DARK = ("#56B4E9", "#F2853D", "#2DC79B", "#E3A0C8", "#F0DC82", "#F5F5F5", "#8C9EFF", "#C79A6B", "#A3A3A3")


@dataclass(frozen=True)
class Theme:
    """Colours and sizes of a figure; ``points`` is the size of its text, ``widths`` (inches) its named widths."""

    name: str
    ink: str
    quiet: str
    ground: str
    rule: str
    colours: tuple[str, ...]
    points: float
    widths: Mapping[str, float]

    @property
    def scale(self) -> float:
        """How much larger than in a paper text, lines and marks are."""
        return self.points / 8

    @property
    def settings(self) -> dict[str, Any]:
        """What matplotlib is told."""
        sizes = {f"{part}.labelsize": self.points for part in ("axes", "xtick", "ytick")}
        inks = {f"{part}.color": self.ink for part in ("text", "xtick", "ytick")}
        grounds = {f"{part}.facecolor": self.ground for part in ("figure", "axes", "savefig")}
        ticks = {f"{which}tick.major.{key}": value * self.scale for which in "xy" for key, value in _TICKS.items()}
        return {
            "font.family": ["DejaVu Sans"],
            "font.size": self.points,
            "axes.titlesize": self.points + 0.5 * self.scale,
            "legend.fontsize": self.points,
            **sizes,
            **inks,
            **grounds,
            **ticks,
            "axes.edgecolor": self.ink,
            "axes.labelcolor": self.ink,
            "axes.linewidth": 0.6 * self.scale,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.axisbelow": True,
            "grid.color": self.rule,
            "grid.linewidth": 0.5 * self.scale,
            "lines.linewidth": 1.3 * self.scale,
            "lines.markersize": 4.5 * self.scale,
            "text.parse_math": False,  # a "$" in a name is a dollar sign
            "pdf.fonttype": 42,
            "svg.hashsalt": "diffbench",  # ids in the file, and so its bytes, are the same every time
            "figure.dpi": 100,
        }


_TICKS = {"width": 0.6, "size": 2.5}
_PAPER: Final = Theme(
    "paper", "#222222", "#6b6b6b", "#ffffff", "#e4e4e4", _ON_WHITE, 8.0, MappingProxyType({"text": 7.0, "column": 3.3})
)
_WIDE = MappingProxyType({"text": 11.0, "column": 5.5})
THEMES: Final[Mapping[str, Theme]] = MappingProxyType(
    {
        "paper": _PAPER,
        "talk": Theme("talk", "#222222", "#6b6b6b", "#ffffff", "#e4e4e4", _ON_WHITE, 13.0, _WIDE),
        "dark": Theme("dark", "#e6e6e6", "#9a9a9a", "#16191d", "#30343a", _ON_DARK, 8.0, _PAPER.widths),
    }
)


@dataclass(frozen=True)
class Setting:
    """The theme in force, and the width of its figures in inches."""

    theme: Theme = _PAPER
    width: float = _PAPER.widths["text"]

    @property
    def narrow(self) -> bool:
        """Whether a figure is as wide as a column, which holds one panel beside nothing."""
        return self.width / self.theme.scale < 5.0


_PLAIN = Setting()
_SETTING: ContextVar[Setting | None] = ContextVar("setting", default=None)


def setting() -> Setting:
    """The theme and width in force."""
    return _SETTING.get() or _PLAIN


@contextmanager
def style(theme: str = "paper", width: str | float = "text") -> Iterator[None]:
    """The look of all figures drawn inside; matplotlib's own settings come back afterwards.

    ``width``: ``text`` (the whole width of a page), ``column``, or inches, 2 to 20. Raises UsageError.
    """
    if theme not in THEMES:
        raise UsageError(unknown("theme", theme, THEMES))
    chosen = THEMES[theme]
    inches = chosen.widths.get(width) if isinstance(width, str) else width
    if not isinstance(inches, int | float) or not 2 <= inches <= 20:
        raise UsageError(f"width {width!r}: expected {', '.join(chosen.widths)} or inches from 2 to 20")
    token = _SETTING.set(Setting(chosen, inches))
    try:
        with mpl.rc_context(), warnings.catch_warnings():
            mpl.rcdefaults()
            mpl.rcParams.update(chosen.settings)  # type: ignore[arg-type]
            warnings.filterwarnings("ignore", message="Glyph .* missing from font", category=UserWarning)
            yield
    finally:
        _SETTING.reset(token)


def paper_style() -> Any:
    """The look of a page's figures: the theme ``paper`` at the width of the text."""
    return style()


def tint(colour: str, strength: float = 0.45) -> tuple[float, float, float]:
    """The colour as it looks on the theme's ground at that opacity, itself opaque."""
    ground = to_rgb(setting().theme.ground)
    red, green, blue = (
        strength * part + (1 - strength) * behind for part, behind in zip(to_rgb(colour), ground, strict=True)
    )
    return red, green, blue
