"""The stages of a measurement.

Each module has pure functions and `run(settings, needs, out, progress)`, which reads the folders in `needs` and writes
the folder `out`.
"""
