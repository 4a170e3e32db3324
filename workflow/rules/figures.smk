# One rule per figure, named plot_<figure>: the tables in, SVG, PDF and PNG out.

for figure in figures.names():

    rule:
        name:
            f"plot_{figure.replace('-', '_')}"
        input:
            rerun_if_stale("plot", whole=True, figure=figure),
            tables=tables_of_figure(figure),
        output:
            in_report(f"{FIGURES}/{figure}.svg", ANSWER if figure == "answer" else DRAWN, figure),
            f"{FIGURES}/{figure}.pdf",
            f"{FIGURES}/{figure}.png",
            manifest=f"{FIGURES}/{figure}.json",
        log:
            f"{LOGS}/plot/{{study}}/{figure}.log",
        localrule: True
        resources:
            **LIGHT,
        params:
            **told("plot", figure=figure),
        message:
            f"Plotting {figure} of {{wildcards.study}}"
        script:
            "../scripts/plot.py"
