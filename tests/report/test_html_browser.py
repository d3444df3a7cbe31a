"""The page in a real Chromium: it sorts, filters, hovers, and asks the network for nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import chromium
import pytest
from records import make_record, make_trial, realistic

from sparsebench.report.html.page import report

HOSTILE = "</script><img src=x onerror=\"document.title='hacked'\">"

pytestmark = pytest.mark.skipif(
    chromium.executable() is None, reason="no Chromium here: apt-get install chromium"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[chromium.Browser]:
    with chromium.started() as browser:
        yield browser


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    run = realistic(folder, sizes=(100, 200, 400), epochs=4, seeds=2)
    spent = {"import": {"seconds": 0.6}, "train": {"seconds": 1.0}}
    run.records[:] = [replace(record, phases=spent) for record in run.records]
    bad = make_trial(seed=9, backend={"name": HOSTILE})
    run.records.append(make_record(bad, "crashed", detail=HOSTILE, log_tail=HOSTILE))
    run.records.append(make_record(make_trial(seed=8, backend={"name": HOSTILE})))
    page = folder / "index.html"
    page.write_text(report([run]))
    return page


def opened(browser: chromium.Browser, file: Path) -> chromium.Page:
    page = browser.page()
    page.look()
    page.open(file)
    page.wait("document.documentElement.dataset.charts === 'drawn'")
    return page


@pytest.fixture(scope="module")
def page(browser: chromium.Browser, file: Path) -> chromium.Page:
    """Shared by tests that do not mind what others did to it."""
    return opened(browser, file)


@pytest.fixture
def own_page(browser: chromium.Browser, file: Path) -> chromium.Page:
    return opened(browser, file)


def column(page: chromium.Page, section: str, at: int) -> list[str]:
    rows = f"[...document.querySelectorAll('#{section} tbody tr')].filter(r => !r.hidden)"
    found: list[str] = page.js(f"{rows}.map(row => row.cells[{at}].textContent)")
    return found


def head(section: str, words: str) -> str:
    heads = f"[...document.querySelectorAll('#{section} th')]"
    return f"{heads}.find(one => one.textContent.startsWith('{words}'))"


def test_nothing_is_fetched_and_nothing_is_complained_about(page, file):
    assert page.errors == []
    assert [url for url in page.requests if not url.startswith("data:")] == [file.as_uri()]


def test_text_of_others_is_text(page):
    assert page.js("document.title") == "Sparse | dense on handwritten digits"
    assert page.js("document.images.length") == 0
    assert page.js("document.querySelector('#logs').textContent").count(HOSTILE) == 3


def test_sorting_goes_up_down_and_back_with_the_keyboard(page):
    given = column(page, "time", 3)
    page.js(f"{head('time', 'time per epoch')}.querySelector('button').focus()")
    for direction in ("ascending", "descending"):
        page.press("Enter", "\r")
        assert page.js(f"{head('time', 'time per epoch')}.getAttribute('aria-sort')") == direction
        cells = "[...document.querySelectorAll('#time tbody tr')].map(row => row.cells[3])"
        keys = page.js(f"{cells}.map(one => one.dataset.key).filter(Boolean).map(Number)")
        assert len(set(keys)) > 5
        assert keys == sorted(keys, reverse=direction == "descending")
        assert column(page, "time", 3)[-1] == "–"
    page.press("Enter", "\r")
    assert page.js(f"{head('time', 'time per epoch')}.getAttribute('aria-sort')") is None
    assert column(page, "time", 3) == given


def test_units_do_not_mislead_sorting(page):
    page.js(f"{head('memory', 'net peak')}.querySelector('button').click()")
    shown = column(page, "memory", 3)
    kinds = [text.rpartition(" ")[2] for text in shown if text != "–"]
    assert kinds == sorted(kinds)
    assert set(kinds) == {"KiB", "MiB"}


def test_a_filter_keeps_the_rows_with_every_word(page):
    page.js("document.querySelector('#time .filter').focus()")
    page.send("Input.insertText", text="SCIPY 200-200")
    assert set(column(page, "time", 2)) == {"scipy-csr"}
    assert set(column(page, "time", 0)) == {"200-200"}
    text = page.js("document.querySelector('#time .count').textContent")
    assert text.startswith("3 of ")
    assert page.js("document.querySelector('#time .count').getAttribute('role')") == "status"
    page.js("document.querySelector('#time .filter').value = ''")
    page.js("document.querySelector('#time .filter').dispatchEvent(new Event('input'))")
    assert len(column(page, "time", 0)) > 20


def tooltip(page: chromium.Page, chart: str, backend: str) -> str:
    """The text shown when the pointer is on the first mark of a backend."""
    page.js(f"document.querySelector('{chart} .plot').scrollIntoView({{block: 'center'}})")
    x, y = page.js(f"""(() => {{
      const plot = document.querySelector('{chart} .plot');
      const view = Object.values(Bokeh.index.roots ?? Bokeh.index)
        .find((one) => plot.contains(one.el) || one.el.getRootNode().host === plot);
      const marks = view.model.renderers.find((one) => one.glyph.type === 'Scatter' &&
        one.data_source.data.backend[0] === {json.dumps(backend)});
      const at = view.views?.find_one?.(marks) ?? view.owner.find_one(marks);
      const [sx, sy] = [at.glyph.sx[0], at.glyph.sy[0]];
      const box = view.canvas_view.el.getBoundingClientRect();
      return [box.left + sx, box.top + sy];
    }})()""")
    page.move(x - 3, y)
    page.move(x, y)
    seen = """(() => {
      const found = [];
      const walk = (node) => {
        if (node.classList?.contains('bk-Tooltip')) found.push(node);
        const inside = [...(node.shadowRoot?.children ?? []), ...(node.children ?? [])];
        inside.forEach(walk);
      };
      walk(document.body);
      const text = (node) => node.nodeType === 3 ? node.data : node.nodeName === 'STYLE' ? '' :
        [...(node.shadowRoot?.childNodes ?? []), ...node.childNodes].map(text).join(' ');
      return found.map(text).join(' ');
    })()"""
    page.wait(f"{seen} !== ''")
    text: str = page.js(seen)
    return " ".join(text.split())


MEMORY = '.chart:has([aria-label^="Accuracy against memory"])'


def test_hovering_tells_the_numbers_of_a_mark(page):
    text = tooltip(page, MEMORY, "numba-csr")
    assert "net peak" in text
    assert "KiB" in text or "MiB" in text
    assert "%" in text


def test_text_of_others_is_text_in_a_tooltip_too(page):
    assert HOSTILE in tooltip(page, MEMORY, HOSTILE)
    assert page.js("document.title") == "Sparse | dense on handwritten digits"


def test_a_cell_leads_to_its_trials_and_a_failed_one_to_its_log(page):
    ids = page.js("document.querySelector('#accuracy .to-trials').dataset.trials").split()
    page.js("document.querySelector('#accuracy .to-trials').click()")
    shown = column(page, "trials", 0)
    assert len(shown) == len(ids) == 2
    page.js("document.querySelector('#trials a[href^=\"#log-\"]').click()")
    page.wait("document.querySelector('#logs details:target, #logs span:target') !== null")
    assert page.js("document.querySelector('#logs details').open")


def test_any_column_against_any_other_is_a_choice(page):
    page.js("document.getElementById('explore').scrollIntoView()")
    page.wait("document.getElementById('explore').dataset.drawn !== undefined")
    choose = "document.querySelector('#explore [data-choice={0}]')"
    page.js(f"{choose.format('x')}.value = 'connections'")
    page.js(f"{choose.format('y')}.value = 'epoch_seconds'")
    page.js("document.querySelector('#explore [data-log=y]').checked = true")
    page.js(f"{choose.format('color')}.dispatchEvent(new Event('change'))")
    page.wait("document.getElementById('explore').dataset.drawn.endsWith(' log')")
    drawn = "Bokeh.documents.at(-1).get_model_by_name('marks').data"
    assert page.js(f"{drawn}.x.length") > 10
    assert page.js(f"{drawn}.up[0]").endswith(" ms")
    assert page.js("Bokeh.documents.at(-1).get_model_by_name('lines').data.xs.length") > 0
    assert page.errors == []


def test_a_key_hides_what_it_stands_for(page):
    renderers = "Bokeh.documents.flatMap(one => one.roots()).flatMap(one => one.renderers)"
    shown = f"{renderers}.filter(one => one.visible).length"
    before = page.js(shown)
    page.js("document.querySelector('#chart-1 .key').focus()")
    page.press(" ", " ")
    assert (
        page.js("document.querySelector('#chart-1 .key').getAttribute('aria-pressed')") == "false"
    )
    assert page.js(shown) < before
    page.press(" ", " ")
    assert page.js(shown) == before


def test_every_table_has_a_caption_and_every_control_a_name(page):
    assert page.js("[...document.querySelectorAll('table')].every(t => t.caption.textContent)")
    controls = "[...document.querySelectorAll('button, input, select')]"
    named = "one.textContent.trim() || one.ariaLabel || one.labels?.length"
    assert page.js(f"{controls}.every(one => {named})")


def test_the_browser_itself_refuses_to_fetch(page):
    got = page.js("fetch('data:,x').then(() => 'fetched', () => 'refused')")
    assert got == "refused"


# --- from here on in pages of their own: one in the background draws nothing --------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_theme_is_that_of_the_system_until_it_is_switched(browser, file, scheme):
    page = browser.page()
    page.look(scheme=scheme)
    page.open(file)
    page.wait("document.documentElement.dataset.charts === 'drawn'")
    ground = "getComputedStyle(document.body).backgroundColor"
    models = "[...Bokeh.documents[0].all_models]"
    axis = f"{models}.find(one => one.type.endsWith('Axis')).axis_label_text_color"
    was = page.js(ground), str(page.js(f"JSON.stringify({axis})"))
    assert (was[0] == "rgb(255, 255, 255)") == (scheme == "light")
    page.js("document.getElementById('theme').click()")
    now = page.js(ground), str(page.js(f"JSON.stringify({axis})"))
    assert now[0] != was[0]
    assert now[1] != was[1]
    assert page.errors == []


def test_the_page_fits_a_phone(browser, file):
    page = browser.page()
    page.look(width=390, height=844)
    page.open(file)
    page.wait("document.documentElement.dataset.charts === 'drawn'")
    assert page.js("document.documentElement.scrollWidth") <= 390
    plots = "[...document.querySelectorAll('.plot')]"
    assert page.js(f"Math.max(...{plots}.map(one => one.getBoundingClientRect().right))") <= 390
    number = "document.querySelector('#time td.number').getBoundingClientRect()"
    assert page.js(f"{number}.right") <= 390  # without scrolling to the side
    assert "right" in page.js("document.querySelector('#time .frame').dataset.more")


def test_the_keyboard_reaches_the_content_first(own_page):
    page = own_page
    page.press("Tab")
    assert page.js("document.activeElement.textContent") == "Skip to the summary"
    assert page.js("document.activeElement.getBoundingClientRect().left") >= 0


def test_on_paper_it_is_light_and_logs_are_open(own_page):
    page = own_page
    page.js("document.getElementById('theme').click()")
    page.js("dispatchEvent(new Event('beforeprint'))")
    page.send("Emulation.setEmulatedMedia", media="print")
    assert page.js("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.js("getComputedStyle(document.querySelector('nav')).display") == "none"
    assert page.js("[...document.querySelectorAll('#logs details')].every(d => d.open)")
    page.js("dispatchEvent(new Event('afterprint'))")
    assert page.js("document.documentElement.dataset.theme") == "dark"


def test_a_table_is_copied_as_csv_and_latex(own_page):
    page = own_page
    page.js("Object.defineProperty(navigator, 'clipboard', {value: {writeText(t) {"
            " window.copied = t; return Promise.resolve(); }}})")  # fmt: skip
    page.js("document.querySelector('#time [data-as=csv]').click()")
    assert page.js("window.copied").splitlines()[0].startswith("hidden,topology,backend,time per")
    page.js("document.querySelector('#time [data-as=latex]').click()")
    assert page.js("window.copied").startswith("\\begin{tabular}{@{}lll")
    assert "$\\pm$" in page.js("window.copied")
