"""The page in a headless Chromium: it works by mouse and keyboard, asks for nothing, and no name in it acts."""

import re
import shutil
from collections import Counter
from dataclasses import replace

import pytest
from chromium import CONTRAST, DRAWN, LOOSE, RING, UNNAMED, opened

from diffbench.report.page import draw

HOSTILE = (
    "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "</script><script>alert(1)</script>",
    "' onfocus='alert(1)", "\x1b[31mred\x1b[0m", "\u202egnp.exe", "x" * 300, "../../../etc/passwd",
    "=cmd()", "{{ 7*7 }}", "javascript:alert(1)", "]]><!--", "a\u2028b\u2029c", "<svg/onload=alert(1)>",
    "&lt;b&gt;", "\\u003cscript>", "<iframe srcdoc='<script>parent.alert(1)</script>'>",
)  # fmt: skip
# Parts whose number depends on what is drawn, not on a name: marks of charts, and what the zoom held.
INSIDE = frozenset("path line text circle canvas figure figcaption option div h2 p label output input button".split())

# of every chart, from which pixel to which the labels of its ticks go: across, and up
TICKS = """
() => [...document.querySelectorAll("#panels svg, #front svg, #cost-panels svg")].map((svg) =>
  [["middle", "left", "right"], ["end", "top", "bottom"]].map(([anchor, from, to]) =>
    [...svg.querySelectorAll(`g[aria-hidden] > text:not(.title)[text-anchor=${anchor}]`)].map((e) => {
      const box = e.getBoundingClientRect();
      return [box[from], box[to]];
    }).sort((a, b) => a[0] - b[0])))
"""


@pytest.fixture(scope="module")
def page_file(made_run, tmp_path_factory):
    run = shutil.copytree(made_run, tmp_path_factory.mktemp("browser") / "run")
    draw(run)
    return run / "report.html"


@pytest.fixture
def page(browser, page_file):
    with opened(browser, page_file) as found:
        yield found


def column(page, index):
    return page.eval_on_selector_all(
        "table.sortable tbody tr:not([hidden])", f"rows => rows.map(r => r.cells[{index}].textContent)"
    )


def numbers(texts):
    found = [re.search(r"-?\d[\d.]*(e[+-]?\d+)?", text) for text in texts]
    return [float(match[0]) if match else None for match in found]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_opens_at_any_width_without_a_request_or_an_error(browser, page_file, width, scheme, told):
    with opened(browser, page_file, width, 800, scheme) as page:
        page.wait_for_selector("#panels svg")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.locator("#panels svg").count() == 3 and page.locator("#front svg").count() == 1
        contrasts = page.evaluate(CONTRAST)
        low = [one for one in contrasts if one[0] < 4.5]
        assert len(contrasts) > 300 and not low, low[:5]
        least = f"{len(contrasts)} texts, least contrast {min(contrasts)[0]:.2f}"
        told(f"page: {width} px, {scheme}: {least}, 0 requests, 0 violations")


def test_the_table_sorts_both_ways_by_every_column(page, told):
    heads = page.locator("table.sortable th")
    names = heads.all_inner_texts()
    for index in range(heads.count()):
        for direction in ("ascending", "descending"):
            heads.nth(index).get_by_role("button").click()
            assert heads.nth(index).get_attribute("aria-sort") == direction
            assert page.locator("table.sortable th[aria-sort=none]").count() == heads.count() - 1
            texts = column(page, index)
            if index < 2:
                assert [t.lower() for t in texts] == sorted(
                    (t.lower() for t in texts), reverse=direction == "descending"
                )
                continue
            values = numbers(texts)
            known = [v for v in values if v is not None]
            assert known == sorted(known, reverse=direction == "descending"), names[index]
            assert values[: len(known)] == known and len(values) == 48  # what is missing goes last
    told(f"page: {heads.count()} columns sorted both ways")


def test_the_table_filters(page):
    status = page.locator("#table-controls [role=status]")
    assert status.inner_text() == "48 of 48 cells"
    page.get_by_label("Filter", exact=True).fill("vp heun")
    assert status.inner_text() == "4 of 48 cells" and set(column(page, 1)) == {"heun"}
    page.get_by_label("Filter", exact=True).fill("")
    controls = page.locator("#table-controls")
    controls.get_by_label("Model").select_option("latent-mnist")
    controls.get_by_label("Sampler").select_option("ddim")
    assert status.inner_text() == "4 of 48 cells" and set(column(page, 0)) == {"latent-mnist"}
    controls.get_by_label("Sampler").select_option("")
    controls.get_by_label("best and ties only").check()
    assert 4 <= int(status.inner_text().split()[0]) < 16
    assert page.locator("table.sortable tbody tr:not([hidden]):not(:has(strong))").count() == 0


def pixels(page, selector):
    return page.eval_on_selector_all(selector, "all => all.map(c => c.toDataURL())")


def settled(page, selector):
    page.wait_for_function(DRAWN, arg=selector)


def test_the_slider_goes_over_budgets_from_the_same_noise(page):
    slider = page.locator("#sample-controls").get_by_label("Budget")
    assert slider.get_attribute("aria-valuetext") == "NFE 10"
    settled(page, "#sample-rows canvas")
    rows = page.locator("#sample-rows .row")
    assert rows.count() == 4 and rows.first.locator("canvas").count() == 16
    before = pixels(page, "#sample-rows canvas")
    slider.focus()
    page.keyboard.press("ArrowRight")
    assert slider.get_attribute("aria-valuetext") == "NFE 20"
    settled(page, "#sample-rows canvas")
    after = pixels(page, "#sample-rows canvas")
    assert len(before) == len(after) == 64 and before != after
    page.locator("#sample-controls").get_by_label("Model").select_option(label="latent-mnist")
    slider.focus()
    page.keyboard.press("Home")
    assert rows.nth(3).inner_text().splitlines()[-1] == "skipped"  # euler-maruyama at 5
    zoom = page.locator("#sample-controls").get_by_label("Zoom")
    small = page.locator("#sample-rows canvas").first.bounding_box()["width"]
    zoom.focus()
    page.keyboard.press("End")
    assert page.locator("#sample-rows canvas").first.bounding_box()["width"] == pytest.approx(168) and small < 100


def test_a_sample_can_be_seen_large_and_left_by_the_keyboard(page):
    first = page.locator("#sample-rows button").first
    first.focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "ddim @ NFE 10, sample 1: enlarge"
    page.keyboard.press("Enter")
    dialog = page.locator("dialog")
    assert dialog.is_visible() and dialog.locator("h2").inner_text() == "ddpm-mnist · ddim @ NFE 10, sample 1"
    assert (
        dialog.locator(".large canvas").bounding_box()["width"] > 300 and dialog.locator(".rivals canvas").count() == 3
    )
    settled(page, "dialog .large canvas")
    before = pixels(page, "dialog .large canvas")
    dialog.get_by_label("Budget").focus()
    page.keyboard.press("Home")
    assert dialog.locator("h2").inner_text() == "ddpm-mnist · ddim @ NFE 5, sample 1"
    settled(page, "dialog .large canvas")
    assert pixels(page, "dialog .large canvas") != before
    dialog.get_by_role("button", name="sample →").click()
    assert dialog.locator("h2").inner_text().endswith("sample 2")
    page.keyboard.press("Escape")
    assert not dialog.is_visible()


def test_trajectories_lead_to_the_sample(page):
    controls = page.locator("#forming-controls")
    assert controls.get_by_label("Budget").get_attribute("aria-valuetext") == "NFE 50"
    rows = page.locator("#forming-rows .row")
    assert rows.count() == 4 and rows.first.locator("canvas").count() == 5
    settled(page, "#forming-rows .row:first-child figure:last-child canvas")
    frames = pixels(page, "#forming-rows .row:first-child canvas")
    assert frames[-1] == frames[-2] and len(set(frames)) == 4
    assert "estimate after 1 evaluations, at noise level 80.0" in rows.first.locator("canvas").first.get_attribute(
        "aria-label"
    )
    controls.get_by_label("Sample").focus()
    page.keyboard.press("ArrowRight")
    settled(page, "#forming-rows .row:first-child figure:last-child canvas")
    assert pixels(page, "#forming-rows .row:first-child canvas") != frames


def test_figures_tell_their_values_to_the_mouse_and_the_keyboard(page):
    tip = page.locator("#tip")
    marks = page.locator("#panels svg").first.locator("g[role=img]")
    assert marks.count() == 16
    marks.nth(1).hover()
    assert re.fullmatch(
        r"ddpm-mnist · ddim @ NFE 10\nFID [\d.]+ ± [\d.]+\n10 evaluations\n[\d.]+ s/image", tip.inner_text()
    )
    page.mouse.move(0, 0)
    assert tip.is_hidden()
    assert page.locator("#panels svg").first.locator("g[tabindex='0']").count() == 1
    marks.first.focus()
    assert "@ NFE 5" in tip.inner_text()
    seen = []
    for key in ("ArrowRight", "ArrowDown", "End", "ArrowUp"):
        page.keyboard.press(key)
        seen.append(page.evaluate("document.activeElement.getAttribute('aria-label')").split(",")[0])
    assert seen == [
        "ddpm-mnist · ddim @ NFE 10",
        "ddpm-mnist · heun @ NFE 10",
        "ddpm-mnist · heun @ NFE 50",
        "ddpm-mnist · ddim @ NFE 50",
    ]
    page.keyboard.press("Escape")
    assert tip.is_hidden()


def test_figures_change_with_their_controls(page):
    marks = page.locator("#panels svg").first.locator("g[role=img]")
    page.locator("#legend button").first.click()
    assert page.locator("#legend button").first.get_attribute("aria-pressed") == "false" and marks.count() == 12
    page.locator("#legend button").first.click()
    page.locator("#chart-controls").get_by_label("Metric").select_option("kid")
    assert "KID" in marks.first.get_attribute("aria-label") and marks.count() == 16
    page.locator("#chart-controls").get_by_label("against").select_option("seconds")
    assert page.locator("#panels svg").first.get_attribute("aria-label") == "KID against seconds per image, ddpm-mnist"
    whole = page.locator("#front g[role=img]").count()
    page.locator("#front-controls").get_by_label("Of", exact=True).select_option("model:1")
    assert 0 < page.locator("#front g[role=img]").count() < whole
    assert "latent-mnist" not in page.locator("#front-key").inner_text()  # one model needs no name
    fronts = page.locator("#front g[aria-label*='on the front']:not([aria-label*='not on'])").count()
    assert fronts == page.locator("#front-key li").count() > 0
    page.locator("#cost-controls").get_by_label("Cost in").select_option("seconds")
    assert "s/image" in page.locator("#cost-panels g[role=img]").first.get_attribute("aria-label")


@pytest.mark.parametrize("width", [1280, 360])
def test_every_axis_has_two_ticks_that_do_not_touch_whatever_the_range(browser, new_run, tmp_path, width):
    def change(rows):
        first = rows[0]
        kid = (
            16.0
            if (first.sampler, first.budget) == ("heun", 5)
            else {5: 0.05, 10: 0.02, 20: 0.003}.get(first.budget, -0.004)
        )
        values = {"fid": 4.9 + first.budget / 1000, "kid": kid, "seconds_per_image": 0.25 + first.budget / 5000}
        near = {name: {"value": v, "ci_low": v - 1e-4, "ci_high": v + 1e-4} for name, v in values.items()}
        return [replace(row, **near.get(row.metric, {})) for row in rows]

    run = new_run(tmp_path / "run", change, models=("ddpm-mnist",), images=False)
    draw(run)
    with opened(browser, run / "report.html", width, 800) as page:
        page.wait_for_selector("#panels svg")
        controls = page.locator("#chart-controls")
        for metric, by in (("fid", "nfe"), ("fid", "seconds"), ("kid", "seconds")):
            controls.get_by_label("Metric").select_option(metric)
            controls.get_by_label("against").select_option(by)
            for across, along in page.evaluate(TICKS):
                for boxes in (across, along):
                    assert len(boxes) >= 2
                    assert all(a[1] <= b[0] for a, b in zip(boxes, boxes[1:], strict=False)), (metric, by, boxes)
        ticks = page.locator("#panels svg text[text-anchor=end]").all_text_contents()
        assert {"0", "1", "10"} <= set(ticks), "the linear part and the decades above it are in sight"


def test_the_theme_can_be_chosen_and_is_remembered(browser, page_file):
    with opened(browser, page_file, scheme="dark") as page:
        paper = "getComputedStyle(document.body).backgroundColor"
        dark = page.evaluate(paper)
        button = page.get_by_role("button", name="Dark theme")
        assert button.get_attribute("aria-pressed") == "true"
        button.click()
        assert page.evaluate(paper) == "rgb(255, 255, 255)" != dark and button.get_attribute("aria-pressed") == "false"
        assert min(page.evaluate(CONTRAST))[0] >= 4.5
        page.reload()
        assert page.evaluate(paper) == "rgb(255, 255, 255)"


def test_everything_has_a_name_a_place_and_a_ring(page, told):
    assert page.locator("h1").count() == page.locator("main").count() == page.locator("header").count() == 1
    assert page.locator("table").count() == page.locator("table > caption").count() >= 6
    assert page.evaluate(UNNAMED) == []
    assert page.evaluate(LOOSE) == 0
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map((e) => e.id)")
    assert len(ids) == len(set(ids))
    levels = page.evaluate(
        "[...document.querySelectorAll('h1, h2, h3, h4')].filter((e) => e.checkVisibility()).map((e) => +e.tagName[1])"
    )
    assert levels[0] == 1 and all(b <= a + 1 for a, b in zip(levels, levels[1:], strict=False))
    stops, ringless = Counter(), []
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    for _ in range(60):
        stop = page.evaluate(RING)
        stops[stop[0]] += 1
        if stop[0] != "BODY" and not stop[1]:
            ringless.append(stop[2])
        page.keyboard.press("Tab")
    assert ringless == [] and len(stops) >= 5
    told(f"page: {sum(stops.values())} tab stops with a ring, {len(ids)} ids, {len(levels)} headings")


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (360, "dark")])
def test_axe_finds_no_fault(browser, page_file, width, scheme, told):
    """Deque's axe-core: WCAG 2.1 A and AA, and what it calls best practice."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python (extra: test)")
    with opened(browser, page_file, width, 800, scheme) as page:
        page.wait_for_selector("#panels svg")
        page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
        rules = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]}
        found = axe.Axe().run(page, options=rules)
        assert found.violations_count == 0, found.generate_report()
        told(f"page: {width} px, {scheme}: axe {len(found.response['passes'])} rules passed, 0 violated")


def shape(page):
    """How often each element occurs, whatever its text."""
    return Counter(page.evaluate("[...document.querySelectorAll('*')].map((e) => e.tagName.toLowerCase())"))


def with_names(new_run, folder, names):
    """A run of one model a name, with the name in every field that takes text."""

    def change(rows):
        first = rows[0]
        if first.sampler not in ("ddim", "heun") or first.budget > 10:
            return []
        return [replace(row, **fields(names, row)) for row in rows]

    def fields(names, row):
        name = names[("ddim", "heun").index(row.sampler) * 2 + (row.budget == 10)]
        return {
            "suite": names[0], "model": names[4], "family": name, "sampler": f"{row.sampler}{name}",
            "options": {name: name}, "grid": name, "device": name, "dtype": name, "reference": names[5],
            "extractor": name, "unit": row.unit, "signature": f"{row.metric}{name}" if row.signature else None,
            "reason": f"why {name}" if row.reason else None,
        }  # fmt: skip

    run = new_run(folder, change, models=("ddpm-mnist",))
    (run / "suite.yaml").write_text(f"name: {names[0]}\n# {names[1]} {names[2]}\n", encoding="utf-8")
    draw(run)
    return run / "report.html"


def test_hostile_names_are_inert(browser, new_run, tmp_path, told):
    tame = with_names(new_run, tmp_path / "tame", [f"name{i}" for i in range(6)])
    with opened(browser, tame) as page:
        page.wait_for_selector("#panels svg")
        expected = shape(page)
    for start in range(0, len(HOSTILE), 6):
        names = [HOSTILE[(start + i) % len(HOSTILE)] for i in range(6)]
        path = with_names(new_run, tmp_path / str(start), names)
        with opened(browser, path) as page:
            page.wait_for_selector("#panels svg")
            for button in page.locator("#legend button").all():
                button.hover()
            page.locator("#panels svg g[role=img]").first.focus()
            page.locator("#sample-rows button").first.click()
            page.keyboard.press("Escape")
            page.get_by_label("Filter", exact=True).fill("<script>")
            found = shape(page)
            assert {tag: n for tag, n in found.items() if tag not in INSIDE} == {
                tag: n for tag, n in expected.items() if tag not in INSIDE
            }
            assert "img" not in found or found["img"] == expected["img"]
            assert page.evaluate("document.querySelectorAll('[onerror], [onload], [onfocus], [onclick]').length") == 0
            text = page.evaluate("document.body.innerText")
            assert not re.search("[\u202e\x1b]", text) and "49" not in page.title()
        assert {p.name for p in tmp_path.iterdir()} <= {"tame", *map(str, range(0, len(HOSTILE), 6))}
    told(f"page: {len(HOSTILE)} hostile names in 12 fields each: 0 dialogs, 0 requests, 0 elements made")
