import io
from dataclasses import replace

from rich.console import Console

from diffbench import results
from diffbench.inert import latex_text, markdown_text
from diffbench.report.folder import open_run
from diffbench.report.frame import cells
from diffbench.report.tables import latex, markdown, results_table, terminal_table


def shown(table, width=100):
    out = io.StringIO()
    Console(file=out, width=width, color_system=None).print(terminal_table(table))
    return out.getvalue()


def test_terminal_table_fits_100_columns_and_shows_every_cell(made_run):
    text = shown(results.read(made_run))
    lines = text.splitlines()
    assert max(map(len, lines)) <= 100
    assert sum("±" in line for line in lines) == 46 and "skipped" in text and "failed" in text
    assert "…" not in text
    row = next(line for line in lines if "heun" in line and " 19 " in line)
    assert "±" in row and row.split()[-1].startswith("0.0")


def test_terminal_table_of_long_and_hostile_names_still_fits(new_run, tmp_path):
    def rename(rows):
        return [replace(r, model="m" * 90, sampler="[red]x\x1b[31m" + "y" * 90) for r in rows if r.sampler == "ddim"]

    run = new_run(tmp_path / "run", rename, models=("ddpm-mnist",))
    text = shown(results.read(run))
    assert max(map(len, text.splitlines())) <= 100
    assert "[red]x\\u001b" in text and "\x1b" not in text and text.count("±") == 8


def test_terminal_table_without_rows():
    assert "model" in shown(results.frame([]))


def test_bold_marks_the_best_and_those_not_told_apart(made_run):
    table = results_table(open_run(made_run).cells)
    assert table.columns == ("model", "sampler", "NFE", "FID", "IS", "KID", "s/image")
    bold = {(r[0].text, r[1].text, r[2].text) for r in table.rows if r[3].strong}
    assert ("ddpm-mnist", "heun", "49") in bold and ("ddpm-mnist", "dpmpp-2m", "50") in bold
    assert ("ddpm-mnist", "ddim", "50") not in bold and table.groups == (0, 16, 32)


def test_latex_is_booktabs_and_escapes(made_run):
    text = latex(results_table(open_run(made_run).cells), ["note"])
    assert text.startswith("% \\usepackage{booktabs}\n% note\n\\begin{tabular}{llrrrrr}\n\\toprule\n")
    assert text.count(r"\midrule") == 3 and text.endswith("\\bottomrule\n\\end{tabular}\n")
    assert r"$\mathbf{9.79 \pm 0.84}$" in text
    assert latex_text(r"a_b\c{%}$#&~^") == r"a\_b\textbackslash{}c\{\%\}\$\#\&\textasciitilde{}\textasciicircum{}"
    assert "\n" not in latex_text("a\nb")


def test_markdown_escapes(made_run):
    text = markdown(results_table(open_run(made_run).cells))
    assert len({line.count("|") for line in text.splitlines()}) == 1
    assert markdown_text("a|b<i>*_`[x](y)&\n") == r"a\|b\<i\>\*\_\`\[x\](y)&amp;\\u000a"


def test_long_names_that_differ_at_their_end_are_told_apart(new_run, tmp_path):
    def rename(rows):
        return [replace(r, model=f"{'m' * 60}-1", sampler=f"{'s' * 60}-{r.sampler}") for r in rows]

    table = results.read(new_run(tmp_path / "run", rename, models=("ddpm-mnist",)))
    lines = shown(table).splitlines()
    assert max(map(len, lines)) <= 100
    for line, name in zip(lines[1:], [cell.sampler for cell in cells(table)], strict=True):
        word = line.split()[1 if line is lines[1] else 0]
        assert "…" in word and word.endswith(name[-8:])
