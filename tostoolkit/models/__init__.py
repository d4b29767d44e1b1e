"""Which models tell costs apart? Families of Keras models, drawn for what they reveal."""
