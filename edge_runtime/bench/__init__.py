"""`python -m edge_runtime bench`: this engine and general ones, the same network, in turns.

`engine.py` says what a race asks of an engine and `engines/` has a file for each; `race.py` takes
the turns, `report.py` and `chart.py` show what came out, `command.py` is the command line.
"""
