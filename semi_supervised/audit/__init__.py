"""What is wrong with a set of labeled images, found before anybody trains on it.

Reading order: ``gather`` (look into every image) → ``findings`` (counts, copies, conflicts,
leaks) → ``out_of_fold`` (what a network says that has not seen the image) → ``suspects`` (labels
that are probably wrong) → ``report`` (audit.json and the printed tables) → ``page`` (audit.html).
"""
