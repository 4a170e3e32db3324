"""A study's tables and their files, for the rules as well: no pandas here."""

FILES = {
    "runs": "runs.csv",
    "history": "history.csv",
    "metrics": "metrics.csv",
    "classes": "classes.csv",
    "baseline": "baseline.csv",
    "confusion": "confusion.csv",
    "best-lambda": "best-lambda.csv",
    "best-lambda-per-class": "best-lambda-per-class.csv",
}
