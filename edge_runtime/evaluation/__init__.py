"""Evaluation on the host: accuracy, exactness, robustness and cost of every form of a network.

`evaluate` streams images through the ladder in `chunks`, keeps a few numbers of each (`records`),
and makes `results` of them; `details` are the parts that a report shows; `cost` measures time and
memory; `robustness` and `rejection` measure what happens to other images than good ones.
"""
