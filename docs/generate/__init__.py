"""What makes pages and files of the documentation from the code and from results."""
