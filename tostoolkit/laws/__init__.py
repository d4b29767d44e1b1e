"""Which count predicts what was measured? Laws: terms, fits, validation, comparison."""
