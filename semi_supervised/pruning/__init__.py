"""Structured pruning: whole channels are taken out of a trained network, which stays a plain one.

`shapes` says what a shape costs and which one a budget of multiply-adds buys, `importance` what
each channel is worth, `prune` slices the weights. What is left is trained on by the ordinary
``train --start``, with the preset smaller.
"""
