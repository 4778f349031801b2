"""Training: images → batches → one step → checkpoints, metrics and the calibrated gate."""
