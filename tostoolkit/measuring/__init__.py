"""What did it take? Meters, windows, measured steps, and sweeps over sets of models."""
