"""The page of a maker's tables shows what is in them, and nothing of it as markup."""

from __future__ import annotations

import re

import pandas as pd

from cobaye.tables import html_page


def test_every_row_is_there_with_six_digits_and_tables_without_rows_are_named():
    rows = pd.DataFrame({"name": ["a", "b"], "loss": [0.123456789, None], "n": [3, 4]})
    made = html_page.page("study: classes", {"classes": rows, "grid": rows[:0]})
    cells = re.findall("<td>(.*?)</td>", made)
    assert cells == ["a", "0.123457", "3", "b", "", "4"]
    assert "<p>2 rows</p>" in made
    assert "Without rows in this study: grid." in made
    assert made.count("<table") == 1


def test_a_long_table_is_cut_and_says_so():
    made = html_page.page("t", {"t": pd.DataFrame({"n": range(html_page.ROWS + 1)})})
    assert made.count("<td>") == html_page.ROWS
    assert "2,001 rows, of which the first 2,000 are here; the file has all" in made


def test_names_are_text():
    hostile = "<script>alert(1)</script>&"
    made = html_page.page(hostile, {hostile: pd.DataFrame({hostile: [hostile]})})
    assert "<script>alert" not in made
    assert made.count("&lt;script&gt;alert(1)&lt;/script&gt;&amp;") == 4
