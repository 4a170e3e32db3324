"""Tables as one page of HTML, whose columns sort at a click. It fetches nothing."""

from __future__ import annotations

import html
from collections.abc import Mapping

import pandas as pd

# Rows of a table that a page shows: a browser sorts more of them slowly.
ROWS = 2000

_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
body{{margin:1.5em;font:14px/1.4 system-ui,"DejaVu Sans",sans-serif;color:#1a1a1a}}
h2{{font-size:16px;margin:1.5em 0 0}}p{{margin:.2em 0 .5em;color:#555}}
div{{max-height:70vh;overflow:auto;border:1px solid #ddd}}
table{{border-collapse:collapse;font-variant-numeric:tabular-nums}}
th{{position:sticky;top:0;background:#f3f3f0;cursor:pointer;text-align:right;padding:4px 10px}}
th[aria-sort=ascending]::after{{content:" ↑"}}th[aria-sort=descending]::after{{content:" ↓"}}
td{{padding:2px 10px;text-align:right;white-space:nowrap}}tr:nth-child(even){{background:#fafaf8}}
:focus-visible{{outline:3px solid #0b62a4;outline-offset:-3px}}
</style>
</head>
<body>
{body}
<script>
for (const head of document.querySelectorAll("th")) {{
  head.tabIndex = 0;
  const sort = () => {{
    const down = head.ariaSort === "ascending" ? -1 : 1, column = head.cellIndex;
    const body = head.closest("table").tBodies[0];
    const text = row => row.cells[column].textContent;
    // Missing numbers stand last, whichever way.
    const compared = (a, b) => (a === "") - (b === "") || down * (isNaN(a) || isNaN(b)
      ? a.localeCompare(b) : a - b);
    for (const other of head.parentNode.cells) other.ariaSort = null;
    head.ariaSort = down > 0 ? "ascending" : "descending";
    body.append(...[...body.rows].sort((a, b) => compared(text(a), text(b))));
  }};
  head.onclick = sort;
  head.onkeydown = key => {{ if (key.key === "Enter") sort(); }};
}}
</script>
</body>
</html>
"""


def page(title: str, tables: Mapping[str, pd.DataFrame]) -> str:
    """Return a page of tables, by name; those without rows are named at its end.

    Numbers have six digits. Of a longer table, the first `ROWS` rows are shown, and that is said.
    """
    parts = [_table(name, table) for name, table in tables.items() if len(table)]
    if empty := [name for name, table in tables.items() if table.empty]:
        parts.append(f"<p>Without rows in this study: {html.escape(', '.join(empty))}.</p>")
    return _PAGE.format(title=html.escape(title), body="\n".join(parts))


def _table(name: str, table: pd.DataFrame) -> str:
    rows = f"{len(table):,} row{'s' if len(table) > 1 else ''}"
    if len(table) > ROWS:
        rows += f", of which the first {ROWS:,} are here; the file has all"
    shown = table.head(ROWS).to_html(
        index=False, border=0, na_rep="", float_format="{:.6g}".format, escape=True
    )
    return f"<h2>{html.escape(name)}</h2>\n<p>{rows}</p>\n<div>{shown}</div>"
