"""The page on a phone: an edge is shaded where more lies behind it, and everything can be reached."""

import io
import shutil

import numpy as np
import pytest
from chromium import opened
from PIL import Image

from diffbench.report.page import draw

# what lies beyond the window's edge and in no box that scrolls there and takes the focus
UNREACHABLE = """
() => [...document.querySelectorAll("main *")].filter((e) => {
  const box = e.getBoundingClientRect(), width = document.documentElement.clientWidth;
  if (!e.checkVisibility() || !box.width || (box.right <= width + 1 && box.left >= -1)) return false;
  for (let a = e.parentElement; a; a = a.parentElement)
    if (getComputedStyle(a).overflowX === "auto" && a.scrollWidth > a.clientWidth) return a.tabIndex !== 0;
  return true;
}).map((e) => e.outerHTML.slice(0, 90))
"""


@pytest.fixture(scope="module")
def page_file(made_run, tmp_path_factory):
    run = shutil.copytree(made_run, tmp_path_factory.mktemp("narrow") / "run")
    draw(run)
    return run / "report.html"


def shades(page, box):
    """How far each edge of a box differs from its middle, most of all pixels there: left, right, top, bottom."""
    pixels = np.asarray(Image.open(io.BytesIO(box.screenshot())).convert("L"), float)
    ground = float(np.median(pixels))
    edges = pixels[:, :3], pixels[:, -3:], pixels[:3].T, pixels[-3:].T
    return [float(np.abs(np.median(edge, axis=0) - ground).max()) > 15 for edge in edges]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_an_edge_is_shaded_where_more_lies_behind_it(browser, page_file, scheme):
    with opened(browser, page_file, 360, 2000, scheme) as page:
        best = page.locator(".wide", has=page.locator("table.best"))
        assert shades(page, best)[:2] == [False, True]
        best.evaluate("box => { box.scrollLeft = 30; }")
        assert shades(page, best)[:2] == [True, True]
        best.evaluate("box => { box.scrollLeft = box.scrollWidth; }")
        assert shades(page, best)[:2] == [True, False]
        long = page.locator(".wide.tall", has=page.locator("table.sortable"))
        assert shades(page, long)[3] is True
        long.evaluate("box => { box.scrollTop = box.scrollHeight; }")
        assert shades(page, long)[3] is False
    with opened(browser, page_file, 1280, 2000, scheme) as page:
        best = page.locator(".wide", has=page.locator("table.best"))
        assert shades(page, best) == [False] * 4


def test_a_figure_that_is_cut_is_shaded_too(browser, new_run, tmp_path):
    run = new_run(tmp_path / "run", models=("ddpm-mnist",), images=False)
    draw(run)
    html = (run / "report.html").read_text()
    picture = '<figure><div class="wide" tabindex="0"><img src="{}" alt="white"></div></figure>'
    buffer = io.BytesIO()
    Image.new("RGB", (1400, 600), "white").save(buffer, "PNG")
    from diffbench.report.html import png

    (run / "cut.html").write_text(html.replace("<main>", "<main>" + picture.format(png(buffer.getvalue()))))
    with opened(browser, run / "cut.html", 360, 1200, "dark") as page:
        assert shades(page, page.locator("figure .wide"))[:2] == [False, True]


@pytest.mark.parametrize("width", [360, 390])
def test_nothing_is_out_of_reach_on_a_phone(browser, page_file, width):
    with opened(browser, page_file, width, 800) as page:
        page.wait_for_selector("#panels svg")
        page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
        assert page.evaluate(UNREACHABLE) == []
        tall = page.locator(".wide.tall").first.bounding_box()
        assert tall["height"] <= 0.76 * 800  # the page can be scrolled beside it
