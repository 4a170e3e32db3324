# One rule per figure, named plot_<figure>: the tables in, SVG, PDF and PNG out.

for figure in figures.names():

    rule:
        name:
            f"plot_{figure.replace('-', '_')}"
        input:
            forced_if_stale(f"{paths.FIGURES}/{figure}.json", figure_stage(figure)),
            tables_read(figure_stage(figure)),
            manifests=table_manifests_read(figure_stage(figure)),
        output:
            report(
                f"{paths.FIGURES}/{figure}.svg",
                category="{study}",
                subcategory="figures",
                caption=f"../report/{figure}.rst",
                labels={"figure": figure},
            ),
            f"{paths.FIGURES}/{figure}.pdf",
            f"{paths.FIGURES}/{figure}.png",
            manifest=f"{paths.FIGURES}/{figure}.json",
        log:
            f"{paths.LOGS}/plot/{{study}}/{figure}.log",
        localrule: True
        resources:
            **asks(light_needs),
        params:
            **told(figure_stage(figure)),
        script:
            "../scripts/plot.py"
