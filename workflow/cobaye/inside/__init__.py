"""What is inside a finished run.

In: its checkpoints and a split. Out: tables about its weights and activations.
"""
