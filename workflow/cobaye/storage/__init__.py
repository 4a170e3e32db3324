"""Bytes on disk, verified.

In: bytes, arrays, tensors. Out: files that are whole or absent, each covered by a manifest.
"""
