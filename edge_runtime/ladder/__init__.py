"""The exactness ladder: every form of one network, compared on every image.

Float rungs agree within 1e-4 in every logit; integer rungs in every integer, and the programs for
boards in the preprocessed bytes and the scores, too. `rungs` finds what there is, `engines` runs
it, `compare` names the first image, layer and element that differ.
"""
