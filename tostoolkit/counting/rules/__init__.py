"""Layer call -> op counts, by rule: the fast paths to what the traced graph says."""
