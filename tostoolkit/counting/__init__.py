"""What does a model compute? Keras model -> layer calls -> counts of arithmetic ops and bytes."""
