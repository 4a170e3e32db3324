"""A λ for each class. In: tables and splits of finished runs. Out: a table with the chosen λ."""
