"""The stages of a measurement: pure functions, and at the end of each file `run`, which puts them between folders."""
