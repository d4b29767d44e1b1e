"""What does an op cost? Counts times a cost table: reports of one model, predictors of many."""
