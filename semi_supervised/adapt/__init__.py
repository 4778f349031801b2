"""What a model adapted to a user's own alphabet and crops has gained, and over what.

Adapting itself is training from a start (``training.start``) with the preset ``adapt``. Here:
``gain`` (the held-out images read by every network, and McNemar's test) → ``page`` (adapt.html) →
``command``.
"""
