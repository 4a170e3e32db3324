"""The explorer's page without its data: structure and style. `behaviour` fills it."""

from __future__ import annotations

# Nothing is fetched: the browser itself refuses to.
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'unsafe-inline'; img-src data:"
)

PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{{ policy }}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ study }}: every class</title>
<style>{{ style }}</style>
</head>
<body>
<header>
<h1>{{ study }}<span>, class by class</span></h1>
<p id="summary"></p>
<label id="which">Configuration <select id="configuration"></select></label>
</header>
<div id="columns">
<section id="list" aria-label="Classes">
<div id="asked">
<input id="search" type="search" placeholder="Find a class by a part of its name"
 aria-label="Find a class by a part of its name" autocomplete="off" spellcheck="false">
<select id="filter" aria-label="Which classes">
<option value="">all classes</option>
<option value="helped">surely helped by λ</option>
<option value="harmed">surely harmed by λ</option>
<option value="elsewhere">surely better at another λ</option>
</select>
<span id="count" role="status"></span>
</div>
<div id="rows" tabindex="0" aria-label="Classes: arrow keys choose one">
<table role="grid"><thead><tr id="heads" role="row"></tr></thead>
<tbody id="body"></tbody></table>
</div>
</section>
<main>
<section id="class" aria-live="polite">
<div><h2 id="name"></h2><p id="facts"></p></div>
<div id="images"></div>
</section>
<section class="card"><h3>Loss at each weight decay λ</h3>
<div class="chart" id="losses"></div><p class="key" id="losses-key"></p></section>
<section class="card"><h3>Change from the best λ <small>below 0: better</small></h3>
<div class="chart" id="curve"></div>
<p class="key"><span><span class="line thick"></span>shrunk towards the other classes,
<span class="share"></span> band</span> <span><span class="line dashed"></span>raw</span>
<span><span class="line dotted"></span>its interval</span></p></section>
<div class="stack"><section class="card"><h3>Its test images are taken for</h3>
<div id="confused"></div></section>
<section class="card"><h3>Its own λ, by each way <small>gain on test</small></h3>
<div id="ways"></div></section></div>
<section class="card"><h3>All classes</h3>
<label class="axis">↑ <select id="y-field" aria-label="Vertical axis"></select></label>
<div class="chart tall" id="scatter"></div>
<label class="axis right">→ <select id="x-field" aria-label="Horizontal axis"></select></label>
<p class="key"><span><b class="helped">▲</b> surely helped</span>
<span><b class="unsure">●</b> not sure</span> <span><b class="harmed">▼</b> surely harmed</span>
<span id="compared"></span></p></section>
<section class="card wide" id="beside"><h3>All classes: rivals of one λ
<small>gain: mean test loss saved</small></h3><div id="rivals"></div></section>
</main>
</div>
<footer>Numbers: <code>results/{{ study }}/tables</code>. What they mean together:
<code>results/{{ study }}/story.md</code>. Losses are at {{ epoch }}; the best λ is chosen
on val. Keys: <kbd>/</kbd> search, <kbd>↑</kbd> <kbd>↓</kbd> next class.</footer>
<div id="tip" role="tooltip" hidden></div>
<script id="data" type="application/json">{{ data }}</script>
<script type="module">{{ library }}</script>
<script type="module">{{ behaviour }}</script>
</body>
</html>
"""

STYLE = """
*{box-sizing:border-box}
body{margin:0;font:14px/1.4 system-ui,-apple-system,"Segoe UI","DejaVu Sans",sans-serif;
color:#1a1a1a;background:#f6f6f4;height:100vh;display:flex;flex-direction:column}
header{padding:10px 20px;display:flex;gap:22px;align-items:baseline;border-bottom:1px solid #ddd;
background:#fff}
h1{font-size:20px;margin:0;white-space:nowrap}h1 span{font-weight:400;color:#555}
header p{margin:0;color:#333;flex:1}
#columns{flex:1;min-height:0;display:grid;grid-template-columns:minmax(430px,27%) 1fr}
#list{border-right:1px solid #ddd;background:#fff;display:flex;flex-direction:column;min-height:0}
#asked{padding:12px 12px 8px;display:grid;grid-template-columns:1fr auto;gap:6px 10px;
align-items:center}
#search{grid-column:1/3;font:inherit;font-size:15px;padding:8px 10px;border:1.5px solid #777;
border-radius:6px;width:100%}
select{font:inherit;padding:3px 4px;border:1px solid #999;border-radius:5px;background:#fff;
color:inherit;max-width:100%}
#count{color:#555;text-align:right}
:focus-visible{outline:3px solid #0b62a4;outline-offset:1px}
#rows{flex:1;overflow:auto;outline-offset:-3px}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
/* Not laid out as a table: a browser would measure a thousand rows before it shows the first. */
#rows table,#rows thead,#rows tbody{display:block}
#rows tr{display:grid;grid-template-columns:minmax(0,1fr) 56px 50px 88px 76px;
align-items:center}
#rows thead{position:sticky;top:0;background:#fff;box-shadow:0 1px #bbb;z-index:1}
th{text-align:right;padding:0}th:first-child{text-align:left}
th button{all:unset;cursor:pointer;padding:6px 8px 6px 0;font-weight:600;font-size:12.5px;
white-space:nowrap}
th:first-child button{padding-left:12px}
th button:focus-visible{outline:3px solid #0b62a4;outline-offset:-3px}
td{padding:3px 8px 3px 0;text-align:right;white-space:nowrap}#body td{font-size:13px}
#body td:first-child{text-align:left;padding-left:12px;font-size:14px;display:flex;gap:8px;
align-items:center;overflow:hidden}
#body tr{cursor:pointer;height:30px;content-visibility:auto;contain-intrinsic-size:auto 30px}
#body tr:hover{background:#f0f0ec}
#body tr[aria-selected=true]{background:#dce9f4;box-shadow:inset 4px 0 #0b62a4}
.name{unicode-bidi:isolate;overflow:hidden;text-overflow:ellipsis}
.thumb{display:inline-block;flex:none;background-repeat:no-repeat;border-radius:3px;
image-rendering:pixelated;background-color:#ddd}
main{overflow:auto;padding:14px 18px;display:grid;gap:14px;
grid-template-columns:repeat(2,minmax(0,1fr));align-content:start;min-width:0}
#class{grid-column:1/-1;display:flex;gap:20px;justify-content:space-between;align-items:center}
#class>div:first-child{min-width:0;flex:1}
h2{font-size:26px;margin:0 0 2px;overflow-wrap:anywhere;unicode-bidi:isolate}
#facts{margin:0;max-width:75ch}
#images{display:flex;gap:18px}
figure{margin:0}figure>div{display:flex;gap:5px;align-items:flex-start}
figcaption{font-size:12px;color:#444;margin-bottom:3px}
.shot{text-align:center;font-size:11.5px;width:52px}
.shot .name{display:block;white-space:nowrap}
.card{background:#fff;border:1px solid #ddd;border-radius:8px;padding:10px 14px;min-width:0}
h3{font-size:14.5px;margin:0 0 6px}h3 small{font-weight:400;color:#555;margin-left:6px}
.chart{height:225px;width:100%;overflow:hidden}.chart.tall{height:290px}
#ways table{table-layout:fixed}#ways th:nth-child(2){width:24%}#ways th:nth-child(3){width:34%}
#ways td:last-child{white-space:normal}
.wide{grid-column:1/-1}
.stack{display:flex;flex-direction:column;gap:14px}
.key{margin:4px 0 0;font-size:12.5px;color:#333}
.line{display:inline-block;width:22px;border-top:2px solid #1a1a1a;vertical-align:middle;
margin-right:5px}.key>span{white-space:nowrap;margin-right:9px}
.line.thick{border-top:9px solid #cee0ed;position:relative;height:9px}
.line.thick::after{content:"";position:absolute;left:0;right:0;top:-6px;
border-top:2.4px solid #0b62a4}
.line.test{border-top:2.6px solid #0b62a4}.line.mean{border-top-color:#9a9a9a}
.line.dashed{border-top-style:dashed}.line.dotted{border-top-style:dotted}
.line.best{border-top:0;border-left:2px dashed #b5311f;width:0;height:13px}
.helped{color:#0b62a4}.harmed{color:#b5311f}.unsure{color:#a0a0a0}
.axis{font-size:13px;display:flex;gap:5px;align-items:center}
.axis select{min-width:0}.axis.right{justify-content:end;margin-top:2px}
.taken{display:grid;grid-template-columns:26px minmax(70px,34%) 1fr auto;gap:10px;
align-items:center;padding:2px 0}
a{color:#0b4f86;overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
.bar{height:11px;background:#0b62a4;border-radius:2px;min-width:2px}
.card td,.card th{padding:3px 0 3px 12px;vertical-align:top;font-size:13px}
.card td:first-child,.card th:first-child{text-align:left;padding-left:0;white-space:normal}
.card tr+tr,.card tbody tr{border-top:1px solid #eee}.card th{color:#555;font-weight:500}
footer{padding:6px 20px;font-size:12px;color:#444;border-top:1px solid #ddd;background:#fff}
kbd{border:1px solid #bbb;border-radius:3px;padding:0 4px;font:inherit;background:#f6f6f4}
#tip{position:fixed;pointer-events:none;background:#1a1a1a;color:#fff;padding:5px 9px;
border-radius:5px;font-size:12.5px;z-index:9;white-space:pre}
[hidden]{display:none!important}
@media(min-width:1900px){main{grid-template-columns:repeat(3,minmax(0,1fr))}}
@media(max-width:1150px){#columns{grid-template-columns:330px minmax(0,1fr)}
main{grid-template-columns:minmax(0,1fr)}#class{flex-wrap:wrap}
#heads th:nth-child(3),#body td:nth-child(3){display:none}
#rows tr{grid-template-columns:minmax(0,1fr) 56px 88px 76px}}
@media(max-width:900px){body{height:auto}#columns,main{display:block}#rows{max-height:45vh}
.card{margin-top:12px}}
@media print{body{height:auto}#columns{display:block}#list,footer{display:none}
main{overflow:visible}}
"""
