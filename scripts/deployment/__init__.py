"""Deployment over ssh: what `scripts/deploy.py` is made of.

connection.py (ssh, rsync, scp and what they complain of) → package.py (what is sent) →
comparison.py (the board's answers against the host's) → release.py (deploying and going back).
On the board: on_board.sh, classify_inbox.sh, and the systemd units of units.py.
"""
