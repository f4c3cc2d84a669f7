import base64
import hashlib
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser

import matplotlib as mpl
import pandas as pd
import pytest
from PIL import Image

from diffbench.report.folder import open_run
from diffbench.report.page import draw
from diffbench.report.pareto import front
from diffbench.results import frame, write
from diffbench.store.sealed import write_sealed

PAYLOADS = (
    "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "../../../outside", "{{ 7*7 }}{% raw %}",
    "$\\frac{1", "a|b\n## c", "\u202egnp.exe", "x" * 300, "CON", "]]>&lt;", "=cmd()", "javascript:alert(1)", "数字",
)  # fmt: skip


class Reader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.text, self.opened = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text.append(data)


def read(html):
    reader = Reader()
    reader.feed(html)
    return reader


@pytest.fixture(scope="module")
def drawn(made_run, tmp_path_factory):
    run = shutil.copytree(made_run, tmp_path_factory.mktemp("drawn") / "run")
    before = {key: mpl.rcParams[key] for key in mpl.rcParams if key != "backend"}
    files = draw(run)
    assert {key: mpl.rcParams[key] for key in mpl.rcParams if key != "backend"} == before
    return run, files


def test_draws_what_it_says(drawn):
    run, files = drawn
    assert len(set(files)) == len(files) and all(path.stat().st_size > 0 for path in files)
    names = {path.relative_to(run).as_posix() for path in files}
    wanted = {"report.html", "report.md"}
    for stem in ("fid_vs_nfe", "fid_vs_seconds", "pareto", "cost_of_fid"):
        wanted |= {f"figures/{stem}.{ending}" for ending in ("png", "pdf", "svg", "csv")}
    for model in ("ddpm-mnist", "latent-mnist", "vp-mnist"):
        wanted |= {f"figures/{kind}_{model}.{ending}" for kind in ("grids", "best") for ending in ("png", "pdf", "svg")}
    wanted |= {
        f"tables/{stem}.{ending}"
        for stem in ("results", "best", "front", "iso", "gaps")
        for ending in ("md", "tex", "csv")
    }
    assert names == wanted


def test_figures_are_seven_inches_at_200_dpi(drawn):
    run, _ = drawn
    for stem in ("fid_vs_nfe", "fid_vs_seconds", "pareto"):
        with Image.open(run / "figures" / f"{stem}.png") as image:
            assert image.width == 1400 and image.info["dpi"] == pytest.approx((200, 200), abs=0.1)


def test_the_csv_behind_the_front(drawn):
    run, _ = drawn
    table = pd.read_csv(run / "figures" / "pareto.csv")
    cells = [c for c in open_run(run).cells if c.value("fid") is not None]
    assert len(table) == len(cells) == 46
    on = table[table["on_front"]]
    assert {(m, s, b) for m, s, b in zip(on["model"], on["sampler"], on["budget"], strict=True)} == {
        (c.model, c.sampler, c.budget) for c in front(cells, "fid")
    }
    assert table["fid"].tolist() == pytest.approx([c.value("fid") for c in cells])
    assert (table["fid_low"] < table["fid"]).all() and (table["seconds_per_image_high"] > 0).all()


def test_the_page_asks_for_nothing(drawn):
    run, _ = drawn
    html = (run / "report.html").read_text()
    reader = read(html)
    style = re.search(r"<style>(.*?)</style>", html, re.S)[1]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    csp = next(a["content"] for t, a in reader.tags if a.get("http-equiv") == "Content-Security-Policy")
    script = re.search(r"<script>(.*?)</script>", html, re.S)[1]
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert csp == (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; script-src 'sha256-{allowed}'; "
        "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    )
    assert [attributes for tag, attributes in reader.tags if tag == "script"] == [
        {"type": "application/json", "id": "data"}, {}
    ]  # fmt: skip
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|new Function|fetch\(|XMLHttp", script
    )
    assert {tag for tag, _ in reader.tags}.isdisjoint({"link", "iframe", "object", "embed", "form", "base"})
    for tag, attributes in reader.tags:
        assert not any(name.startswith("on") or name == "style" for name in attributes)
        if tag == "img":
            assert attributes["src"].startswith("data:image/png;base64,") and attributes["alt"]
        if "href" in attributes:
            if attributes["href"].startswith("#"):
                assert any(other.get("id") == attributes["href"][1:] for _, other in reader.tags)
                continue
            assert re.fullmatch(r"(figures/|tables/)?[a-z0-9._-]+\.(pdf|csv|parquet|tex)", attributes["href"])
            assert (run / attributes["href"]).is_file()
    known = html.replace("http://www.w3.org/2000/svg", "", 1)  # a name, not an address
    assert "http:" not in known and "https:" not in known and "@import" not in html and "url(" not in html
    assert sum(tag == "img" for tag, _ in reader.tags) == 0


def test_the_answer_comes_first_and_the_rules_are_stated(drawn):
    run, _ = drawn
    text = " ".join("".join(read((run / "report.html").read_text()).text).split())
    markdown = (run / "report.md").read_text()
    for said in (
        "3 models, 4 samplers, 48 cells, 1 skipped, 1 failed",
        "dpmpp-2m at NFE 5, 10 and 20*; heun at NFE 50*",
        "valuations to reach FID 25: dpmpp-2m about 8 [",
        "; not reached by euler-maruyama",
        "ront of FID against seconds per image, cheapest first: ",
        "not told apart from the best if its 95% interval overlaps that of the best",
        "vp-mnist: yes",
        "ddim failed there",
        "sample 17 is not finite <b>&",
        "latent-mnist · euler-maruyama @ NFE 5",
        "FID at n = 160 compares only with itself",
        "4.10 (sd 0.30 over the draws)",
        "extractor mnist-features, reference mnist (5000 real images)",
        "c0ffee",
        "diffbench run made-up.yaml",
        '{"metric": "fid", "n": 160}',
        "name: made-up",
    ):
        assert said in text, said
        plain = re.sub(r"\\([\\`*_\[\]<>#|~$])", r"\1", markdown).replace("**", "").replace("&amp;", "&")
        assert said in plain or said == "vp-mnist: yes", said
    assert text.index("Best sampler") < text.index("What equal quality costs") < text.index("Do the deterministic")
    assert text.index("All results") < text.index("What the numbers mean") < text.index("Provenance")


def test_the_same_input_gives_the_same_bytes(new_run, tmp_path):
    def few(rows):
        return rows if rows[0].sampler in ("ddim", "euler-maruyama") and rows[0].budget <= 10 else []

    runs = [new_run(tmp_path / name / "made-up", few, models=("vp-mnist",)) for name in ("one", "two")]
    first, second = ({p.relative_to(run): p.read_bytes() for p in draw(run)} for run in runs)
    assert first == second and len(first) > 20


def test_hostile_names_change_no_page_and_leave_the_folder_alone(new_run, tmp_path):
    payloads = {budget: PAYLOADS[i::2] for i, budget in enumerate((5, 10))}

    def hostile(rows):
        if rows[0].sampler != "ddim" or rows[0].budget > 10:
            return []
        bad = payloads[rows[0].budget]
        return [
            replace(
                row, suite=PAYLOADS[0], model=bad[0], family=bad[5], sampler=bad[1], options={bad[1]: bad[3]},
                grid=bad[2], reason=None if row.reason is None else bad[2], device=bad[1], reference=bad[4],
                extractor=bad[5], signature=bad[3],
            )
            for row in rows
        ]  # fmt: skip

    run = new_run(tmp_path / "box" / "run", hostile, models=("ddpm-mnist",))
    (run / "suite.yaml").write_text("name: </pre><script>alert(1)</script>\n```\n# broken out\n")
    write_sealed(run / "provenance.json", {"<script>": {"</td>": ["<img src=x onerror=alert(1)>"]}})
    files = draw(run)
    assert [p.name for p in (tmp_path / "box").iterdir()] == ["run"] and [p.name for p in tmp_path.iterdir()] == ["box"]
    assert all(re.fullmatch(r"[a-z0-9._-]{1,90}", path.name) for path in files)
    html = (run / "report.html").read_text()
    tags = {tag for tag, _ in read(html).tags}
    assert tags <= {
        "html", "head", "meta", "title", "style", "body", "h1", "h2", "h3", "p", "ul", "li", "strong", "span", "div",
        "table", "thead", "tbody", "tr", "th", "td", "figure", "img", "figcaption", "a", "details", "summary", "pre",
        "header", "nav", "main", "section", "article", "footer", "button", "caption", "dialog", "noscript", "code",
        "ol", "script",
    }  # fmt: skip
    assert not any(name.startswith("on") for _, attributes in read(html).tags for name in attributes)
    assert "\u202e" not in html and "\\u202e" in html and "{{ 7*7 }}" in html and "49" not in read(html).text
    markdown = (run / "report.md").read_text()
    assert "\n## c" not in markdown and "\u202e" not in markdown
    fence = markdown[markdown.index("```yaml") :]
    assert fence.count("```") == 2 and fence.rstrip().endswith("```")
    outside = markdown[: markdown.index("```yaml")]
    assert not re.search(r"(?<!\\)<", outside)


@pytest.mark.parametrize("kept", ["nothing", "unscored", "untimed"])
def test_runs_that_lack_something_still_get_a_page(new_run, tmp_path, kept):
    def lacking(rows):
        if kept == "nothing" or rows[0].sampler != "ddim":
            return []
        gone = {"value": None, "se": None, "ci_low": None, "ci_high": None, "reason": "why not"}
        return [
            replace(row, **gone) if row.value is not None and (kept == "unscored") == (row.unit is None) else row
            for row in rows
        ]

    run = new_run(tmp_path / "run", lacking, models=("ddpm-mnist",), images=False)
    names = {path.name for path in draw(run)}
    text = " ".join("".join(read((run / "report.html").read_text()).text).split())
    assert ("fid_vs_nfe.png" in names) == (kept == "untimed")
    assert "fid_vs_seconds.png" not in names and "pareto.png" not in names
    said = {"nothing": "No cell was scored.", "unscored": "No cell was scored: why not.", "untimed": "Best sampler"}
    assert all((words in text) == (name == kept) for name, words in said.items())


def test_negative_values_get_a_linear_axis_and_kid_can_lead(new_run, tmp_path):
    def kid_only(rows):
        return [
            replace(row, value=row.value - 0.02, ci_low=row.ci_low - 0.02, ci_high=row.ci_high - 0.02)
            if row.metric == "kid" and row.value is not None
            else row
            for row in rows
            if row.metric in ("kid", "seconds_per_image") and row.sampler in ("ddim", "heun")
        ]

    run = new_run(tmp_path / "run", kid_only, models=("ddpm-mnist",), images=False)
    names = {path.name for path in draw(run)}
    assert {"kid_vs_nfe.pdf", "kid_vs_seconds.csv", "pareto.png"} <= names
    assert "KID at n = 160 compares only with itself" in (run / "report.md").read_text()


def test_different_references_get_their_own_panel_and_front(new_run, tmp_path):
    def two(rows):
        other = {"reference": "other"} if rows[0].model == "vp-mnist" else {}
        return [replace(row, **other) for row in rows if row.sampler == "ddim" and row.budget <= 10]

    run = new_run(tmp_path / "run", two, models=("ddpm-mnist", "vp-mnist"), images=False)
    draw(run)
    table = pd.read_csv(run / "figures" / "pareto.csv")
    assert set(table[table["on_front"]]["model"]) == {"ddpm-mnist", "vp-mnist"}
    assert table["on_front"].all()


def test_the_report_needs_no_torch():
    code = "import sys, diffbench.report.page as p; print(sorted({'torch', 'diffusers'} & sys.modules.keys()), bool(p))"
    done = subprocess.run([sys.executable, "-c", code], check=True, timeout=60, capture_output=True, text=True)
    assert done.stdout.strip() == "[] True"


def test_an_empty_table_is_written_and_drawn(tmp_path):
    write(frame([]), tmp_path)
    assert (tmp_path / "report.html") in draw(tmp_path)
