# One rule per figure, named plot_<figure>: the tables in, SVG, PDF and PNG out.

for figure, kind in figures.names().items():

    rule:
        name:
            f"plot_{figure.replace('-', '_')}"
        input:
            forced_if_stale(
                f"{paths.FIGURES}/{figure}.json",
                lambda wildcards, figure=figure: PLAN.plot(wildcards.study, figure),
            ),
            ancient(
                [
                    f"{paths.TABLES}/{paths.TABLE_FILES[table]}"
                    for table in kinds.constant("figures", kind, "TABLES")
                ]
            ),
            manifest=TABLES_MANIFEST,
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
        params:
            **told(lambda wildcards, figure=figure: PLAN.plot(wildcards.study, figure)),
        log:
            f"{paths.LOGS}/plot/{{study}}.{figure}.log",
        script:
            "../scripts/plot.py"
