"""One module per stage, one function: (inputs, params, output) → files. Nothing about Snakemake or DVC.

`params` is the stage's Slice in sublim/params/slices, which imports no torch, so that the plan can build it.
"""
