"""What each ingredient of the training is worth: ``make ablation``.

Reading order: ``plan`` (which cells there are) → ``budgets`` (data: one test split, one manifest
for each number of labels and seed) → ``cells`` (folders named by what a cell depends on) →
``schedule`` (processes that run them) → ``cell`` (one of these: train, then ``measure``) →
``figures`` (statistics) → ``tables``, ``conclusions``, ``plots``, which ``document`` puts together.
"""
