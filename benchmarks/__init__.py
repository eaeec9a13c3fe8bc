"""What Sluice costs in time, memory and money, each figure beside the usual way of doing the same.

``python -m benchmarks`` measures everything on this machine, prints a table and writes ``results.json``.
"""
