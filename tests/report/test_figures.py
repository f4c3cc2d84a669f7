"""Figures as files, in themes, and with names beside their lines."""

import io
import json
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.colors import to_rgb
from PIL import Image
from scipy.optimize import minimize

from diffbench.errors import UsageError
from diffbench.report.direct import spread
from diffbench.report.folder import open_run
from diffbench.report.plots import Plots
from diffbench.report.save import rendered, signatures_of
from diffbench.report.themes import THEMES, setting, style, tint

SIGNATURE = '{"metric":"fid","n":160}'


def keywords(pdf):
    return re.search(rb"/Keywords \((.*?[^\\])\)\s", pdf, re.S)[1].replace(rb"\\", b"\\").decode()


@pytest.fixture(scope="module")
def plots(made_run):
    return Plots(open_run(made_run))


def test_every_file_says_what_its_scores_are(plots, tmp_path):
    files = plots.pareto().write(tmp_path / "front")
    assert [path.suffix for path in files] == [".png", ".pdf", ".svg", ".csv"]
    with Image.open(tmp_path / "front.png") as image:
        assert json.loads(image.text["Signature"]) == [SIGNATURE] and image.text["Software"] == "diffbench"
    assert json.loads(keywords((tmp_path / "front.pdf").read_bytes())) == [SIGNATURE]
    root = ET.parse(tmp_path / "front.svg").getroot()
    (told,) = root.iter("{http://purl.org/dc/elements/1.1/}description")
    assert json.loads(told.text) == [SIGNATURE]
    for path in files:
        data = path.read_bytes()
        assert b"CreationDate" not in data and b"tEXtCreation" not in data and b"<dc:date>" not in data


def test_the_same_results_give_the_same_bytes(plots):
    first, second = (rendered(plots.fid_vs_nfe(width="column"), "x", ["s"]) for _ in range(2))
    assert first == second and set(first) == {"png", "pdf", "svg"}


def test_hostile_signatures_stay_text(plots):
    made = rendered(plots.fid_vs_nfe(model="vp-mnist"), "x", ["</svg><script>\x1b)\n/Evil"])
    assert b"<script" not in made["svg"] and b"\x1b" not in made["svg"]
    assert "u001b" in keywords(made["pdf"]) and rb"\)" in made["pdf"]
    with Image.open(io.BytesIO(made["png"])) as image:
        assert "\x1b" not in image.text["Signature"] and "u001b" in image.text["Signature"]
    assert ET.fromstring(made["svg"]) is not None


@pytest.mark.parametrize(
    ("theme", "width", "inches"), [("paper", "column", 3.3), ("talk", "text", 11.0), ("dark", 5, 5)]
)
def test_themes_and_widths(plots, theme, width, inches):
    figure = plots.pareto(theme=theme, width=width)
    assert figure.get_figwidth() == inches
    assert figure.get_facecolor()[:3] == to_rgb(THEMES[theme].ground)
    label = figure.axes[0].xaxis.get_label()
    assert label.get_fontsize() == THEMES[theme].points and label.get_color() == THEMES[theme].ink


@pytest.mark.parametrize(
    ("theme", "width"), [("pink", "text"), ("paper", "page"), ("paper", 1.5), ("paper", 30), ("paper", None)]
)
def test_what_is_no_theme_or_width_is_said(theme, width):
    with pytest.raises(UsageError, match="theme|width"), style(theme, width):
        pass


def test_a_theme_ends_with_its_block():
    with style("dark", "column"):
        assert setting().narrow and tint("#000000", 0.0) == to_rgb(THEMES["dark"].ground)
    assert setting().theme.name == "paper" and setting().width == 7.0


def luminance(colour):
    parts = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


# Machado, Oliveira & Fernandes (2009), severity 1, on linear RGB.
DEFICIENCIES = {
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def lab(colour, matrix):
    linear = np.array([c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)])
    seen = np.clip(np.array(matrix) @ linear, 0, 1)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ seen
    f = np.cbrt(np.maximum(xyz / [0.9505, 1.0, 1.089], 1e-6))
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)
@pytest.mark.parametrize("matrix", [np.eye(3), *DEFICIENCIES.values()], ids=["all", *DEFICIENCIES])
def test_the_first_six_colours_stay_apart_with_any_colour_vision(theme, matrix):
    seen = [lab(colour, matrix) for colour in theme.colours[:6]]
    apart = min(np.linalg.norm(a - b) for i, a in enumerate(seen) for b in seen[:i])
    assert apart > 8  # just noticeable: 2.3


@pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)
def test_text_is_readable_and_lines_are_seen(theme):
    def contrast(colour):
        one, other = sorted((luminance(colour), luminance(theme.ground)))
        return (other + 0.05) / (one + 0.05)

    assert contrast(theme.ink) > 7 and contrast(theme.quiet) > 4.5  # WCAG's AAA and AA
    assert min(map(contrast, theme.colours[:6])) > 1.9


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_spread_moves_names_as_little_as_possible(places):
    places = sorted(places)
    moved = spread(places, 0.1, -10, 10)
    assert all(b - a >= 0.1 - 1e-9 for a, b in zip(moved, moved[1:], strict=False))
    rules = [{"type": "ineq", "fun": lambda x, i=i: x[i + 1] - x[i] - 0.1} for i in range(len(places) - 1)]
    begin = np.array(places) + 0.1 * np.arange(len(places))
    options = {"ftol": 1e-12}
    best = minimize(lambda x: np.sum((x - places) ** 2), begin, constraints=rules, method="SLSQP", options=options)
    assert np.sum((np.array(moved) - places) ** 2) <= best.fun + 1e-6


def test_spread_stays_inside():
    moved = spread([0.0, 0.0, 1.0, 1.0], 0.2, 0.1, 0.9)
    assert moved[0] >= 0.1 - 1e-9 and moved[-1] <= 0.9 + 1e-9


def test_lines_are_named_beside_them_where_that_fits_else_in_a_legend(plots):
    names = {"ddim", "heun", "dpmpp-2m", "euler-maruyama"}
    wide = plots.fid_vs_nfe()
    assert names <= {text.get_text() for text in wide.axes[-1].texts}
    assert {text.get_text() for text in wide.legends[0].get_texts()} & {"stochastic sampler"}
    narrow = plots.fid_vs_nfe(width="column")
    assert not names & {text.get_text() for axes in narrow.axes for text in axes.texts}
    assert {"ddim", "euler-maruyama (stochastic)"} <= {t.get_text() for t in narrow.legends[0].get_texts()}


def test_signatures_are_the_comparable_parts_once(made_run):
    cells = open_run(made_run).cells
    assert signatures_of(cells, ["fid"]) == [SIGNATURE] and signatures_of(cells, ["seconds_per_image"]) == []
    assert not re.search("seeds", "".join(signatures_of(cells, ["fid", "is", "kid"])))
