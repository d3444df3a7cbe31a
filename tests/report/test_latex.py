"""The structure of the LaTeX tables; where there is a LaTeX, it compiles them."""

import re
import shutil
import subprocess

import pytest
from records import FakeRun, make_record, make_trial, realistic, stored

from sparsebench.analysis.claims import check
from sparsebench.cli.export import report as report_command
from sparsebench.report import latex
from sparsebench.report.document import Bold, Code
from sparsebench.report.latex import inline, report
from sparsebench.report.sections import contents


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return realistic(tmp_path_factory.mktemp("run"), epochs=2)


@pytest.fixture(scope="module")
def text(run):
    return report([run])


def tabulars(text):
    """The rows of cells of each table, by its label."""
    found = {}
    for part in text.split(r"\begin{table}")[1:]:
        label = re.search(r"\\label\{tab:sparsebench-(\w+)\}", part)[1]
        body = part.split(r"\midrule")[1].split(r"\bottomrule")[0]
        lines = [line.strip() for line in body.strip().splitlines()]
        assert all(line.endswith(r" \\") for line in lines)
        found[label] = [re.split(r"(?<!\\) & ", line[: -len(r" \\")]) for line in lines]
    return found


def test_the_cells_are_those_of_markdown(run, text):
    made = tabulars(text)
    assert list(made) == ["accuracy", "time", "memory", "published", "claims"]
    tables = [table for section in contents([run]).sections for table in section.tables]
    for table in (table for table in tables if table.label):
        kept = [i for i, name in enumerate(table.header) if name in (table.narrow or table.header)]
        assert made[table.label] == [[inline(row[i].text) for i in kept] for row in table.cells]


def test_every_environment_is_closed_and_every_row_is_whole(text):
    for name in ("table", "tabular"):
        assert text.count(rf"\begin{{{name}}}") == text.count(rf"\end{{{name}}}") == 5
    for rule in ("toprule", "midrule", "bottomrule"):
        assert text.count(f"\\{rule}") == 5
    without_escapes = re.sub(r"\\[{}]", "", text)
    assert without_escapes.count("{") == without_escapes.count("}")
    specs = re.findall(r"\\begin\{tabular\}\{@\{\}(.+)@\{\}\}", text)
    for spec, rows in zip(specs, tabulars(text).values(), strict=True):
        columns = len(re.sub(r"p\{[^}]*\}", "p", spec))
        assert {len(row) for row in rows} == {columns}


def test_text_of_others_is_escaped():
    given = r"50 % of_a & b # $x$ {y} \z ^ ~ <b> | ε ± 3 – §"
    assert inline(given) == (
        r"50 \% of\_a \& b \# \$x\$ \{y\} \textbackslash{}z \textasciicircum{} "
        r"\textasciitilde{} \textless{}b\textgreater{} \textbar{} $\varepsilon$ $\pm$ 3 -- \S{}"
    )
    assert inline([Bold("92.4 ± 0.3 %"), " (n = 3)"]) == r"\textbf{92.4 $\pm$ 0.3 \%} (n = 3)"
    assert inline([Code("a_b | c")]) == r"\texttt{a\_b \textbar{} c}"
    assert inline("[-1, 1]") == "{[}-1, 1{]}"


def test_a_hostile_name_does_not_break_a_row():
    name = r"x & y \\ \end{tabular} %"
    record = make_record(make_trial(backend={"name": name}))
    (row,) = tabulars(report([FakeRun([record], suite_text="name = 'demo'")]))["time"]
    assert row[1] == (r"x \& y \textbackslash{}\textbackslash{} \textbackslash{}end\{tabular\} \%")


def test_verdicts_are_in_the_tables(run):
    made = tabulars(report([run]))
    verdicts = [(row.published, str(row.verdict)) for row in check(run)]
    for label, published in (("published", True), ("claims", False)):
        assert [row[1] for row in made[label]] == [v for p, v in verdicts if p is published]
    assert (True, "not judged") in verdicts


def test_a_table_longer_than_a_page_is_several(monkeypatch):
    monkeypatch.setattr(latex, "ROWS_OF_A_PAGE", 4)
    records = [make_record(make_trial(backend={"name": f"b{i:02}"})) for i in range(6)]
    text = report([FakeRun(records, suite_text="name = 'demo'")])
    assert text.count(r"\label{tab:sparsebench-time}") == 1
    assert text.count(r"\label{tab:sparsebench-time-2}") == 1
    rows = re.findall(r"set & (b\d\d) & .*ms", text)
    assert rows == [f"b{i:02}" for i in range(6)]


def test_nothing_to_show():
    text = report([FakeRun([], suite_text="name = 'demo'")])
    assert text.startswith("% Tables of sparsebench")
    assert r"\begin" not in text


def test_report_command_writes_tex(tmp_path, capsys):
    store = stored(tmp_path / "store", [make_record(make_trial())])
    report_command(["latest"], format="latex", store=store.path)
    printed = capsys.readouterr().out
    assert r"\label{tab:sparsebench-memory}" in printed
    report_command(["latest"], output=[tmp_path / "tables.tex"], store=store.path)
    assert (tmp_path / "tables.tex").read_text() == printed


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex on this machine")
def test_pdflatex_takes_it(run, tmp_path):
    (tmp_path / "tables.tex").write_text(report([run]))
    (tmp_path / "paper.tex").write_text(
        "\\documentclass{article}\n\\usepackage[T1]{fontenc}\n\\usepackage{booktabs,graphicx}\n"
        "\\begin{document}\\input{tables}\\end{document}\n"
    )
    subprocess.run(
        ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "paper.tex"],
        cwd=tmp_path, check=True, capture_output=True, timeout=120,
    )  # fmt: skip
