"""Parts of scripts/measure_curve.py: networks of several sizes, made, measured and shown."""
