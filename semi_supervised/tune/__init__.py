"""Search for better settings: ``make tune``.

``space`` says what is searched, ``study`` runs trials and stores them where several machines can
work together, ``report`` writes the best settings as a preset, with plots. Trials are
judged on validation images; nothing here reads the test split.
"""
