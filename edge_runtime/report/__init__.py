"""Reports as pages: what `report.json` holds, and two of them side by side.

Everything is drawn from data that was measured before; nothing is measured, fetched or sent here.
"""
