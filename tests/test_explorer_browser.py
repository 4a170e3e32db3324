"""Explorer, tables and report in a real browser: Chromium, where the machine has one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cobaye.tables import html_page
from tests import browser
from tests.test_explorer import HOSTILE, text

pytestmark = pytest.mark.skipif(
    browser.found() is None, reason="no Chromium found (Debian: apt-get install chromium)"
)
THOUSAND = tuple(f"kind {number % 7}, name {number}" for number in range(1000))
NAME = "document.getElementById('name').textContent"
CURVE = "[...document.querySelectorAll('#curve path')].map(path => path.getAttribute('d')).join()"
# The scatter is drawn last, on a canvas.
DRAWN = "document.querySelector('#scatter canvas') && " + CURVE + ".includes('L')"


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    folder = tmp_path_factory.mktemp("browser")
    with browser.Browser(folder / "profile") as made:

        def open_page(content, fragment="", until=DRAWN):
            """Return the browser with a page opened, and the seconds that took."""
            made.open("about:blank")
            made.errors.clear()
            made.requests.clear()
            file = folder / "page.html"
            file.write_text(content)
            return made, made.open(file.as_uri() + fragment, until)

        yield open_page


def seen(page):
    return page.run(f"[{NAME}, {CURVE}, new URLSearchParams(location.hash.slice(1)).get('class')]")


def typed(page, words):
    page.run("document.getElementById('search').focus()")
    page.run("document.getElementById('search').select()")
    return page.type(words)


def test_a_thousand_classes_load_and_one_is_found_by_a_part_of_its_name(opened):
    page, loaded = opened(text(THOUSAND, 1000))
    before = seen(page)
    # About 0.5 s on two cores that have nothing else to do; other tests may run beside this one.
    assert loaded < 10
    assert typed(page, "NAME 734") < 1
    name, curve, address = seen(page)
    assert name == address == "kind 6, name 734"
    assert curve != before[1]
    assert curve.count("L") >= 5 * 10
    shown = "document.querySelectorAll('#body tr:not([hidden])').length"
    assert page.run(shown) == 1
    typed(page, "kind 3")
    assert page.run(shown) == 143
    assert page.errors == []
    assert {address.partition(":")[0] for address in page.requests} <= {"file", "data"}


def test_keys_choose_and_the_address_names_a_class(opened):
    page, _ = opened(text(THOUSAND, 1000), "#class=kind+2%2C+name+9")
    assert seen(page)[0] == "kind 2, name 9"
    page.run("document.getElementById('rows').focus()")
    page.press("ArrowDown")
    assert seen(page)[0] == "kind 3, name 10"
    page.press("End")
    assert seen(page)[::2] == ["kind 5, name 999"] * 2
    page.run("location.hash = '#class=kind+0%2C+name+7'")
    page.painted()
    assert seen(page)[0] == "kind 0, name 7"
    page.press("/")
    assert page.run("document.activeElement.id") == "search"
    assert page.errors == []


def test_columns_sort_both_ways(opened):
    page, _ = opened(text(THOUSAND, 1000))
    column = "[...document.querySelectorAll('#body tr td:nth-child(3)')].map(td => +td.textContent)"
    click = "document.querySelector('[data-key=loss]').click()"
    page.run(click)
    down = page.run(column)
    page.run(click)
    assert down == sorted(down, reverse=True)
    assert page.run(column) == sorted(down)
    assert page.errors == []


def test_of_several_configurations_one_is_shown_and_named_in_the_address(opened):
    page, _ = opened(text(THOUSAND[:12], optimizers=("sgd", "adam")))
    first = seen(page)
    page.run(
        "const of = document.getElementById('configuration');"
        "of.value = 1; of.dispatchEvent(new Event('change'))"
    )
    page.painted()
    assert seen(page)[0] == first[0]
    assert seen(page)[1] != first[1]
    address = page.run("location.hash")
    again, _ = opened(text(THOUSAND[:12], optimizers=("sgd", "adam")), address)
    assert again.run("document.getElementById('configuration').value") == "1"
    assert page.errors == []


def test_hostile_names_are_shown_as_they_are(opened):
    names = (*HOSTILE, *(f"class {number}" for number in range(7)))
    page, _ = opened(text(names))
    for hostile in HOSTILE[:4]:
        typed(page, hostile)
        assert seen(page)[0] == seen(page)[2] == hostile
    assert page.run("document.scripts.length") == 3
    assert page.errors == []


def test_tables_sort_at_a_click_as_numbers_and_missing_ones_last(opened):
    shown = pd.DataFrame({"λ": ["1e-2", "0", "9e-4"], "gain": [2.0, np.nan, -10.0]})
    made, _ = opened(html_page.page("s: t", {"t": shown}), until="document.querySelector('th')")
    column = "[...document.querySelectorAll('td:first-child')].map(cell => cell.innerText).join()"
    for head, orders in ((0, ("0,9e-4,1e-2", "1e-2,9e-4,0")), (1, ("9e-4,1e-2,0", "1e-2,9e-4,0"))):
        for order in orders:
            made.run(f"document.querySelectorAll('th')[{head}].click()")
            assert made.run(column) == order
    assert made.errors == []


@pytest.mark.slow
def test_the_report_opens_on_the_answer_and_shows_the_explorer(copied, opened):
    copied.run("--report", "report.html", "tiny")
    report = copied.path("report.html").read_text()
    page, _ = opened(report, until="document.querySelector('nav a')")
    landed = page.run("document.body.innerText")
    assert "does one weight decay suit every class?" in landed
    assert "linear · sgd: best λ" in landed
    picture = "[...document.images].find(image => image.alt.includes('answer of tiny'))"
    assert page.run(f"{picture}.naturalWidth") > 1000
    for link in ("Results", "1 the answer"):
        page.run(f"[...document.querySelectorAll('a')].find(a => a.innerText === '{link}').click()")
        page.painted()
    shown = page.run("document.body.innerText")
    assert all(name in shown for name in ("answer", "story", "explorer"))
    outside = page.contexts[-1]
    row = "[...document.querySelectorAll('tr')].find(row => row.innerText.includes('explorer'))"
    page.run(f"{row}.querySelector('a[iconname=eye]').click()")
    while page.contexts[-1] == outside:
        page.painted()
    inside = {"contextId": page.contexts[-1]}
    while not page.run(f"Boolean({DRAWN})", **inside):
        page.painted()
    page.run("document.querySelector('#body tr:last-child').click()", **inside)
    assert page.run(NAME, **inside) == "5"
    assert page.errors == []
