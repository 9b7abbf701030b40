"""What is to be measured: the configuration, the matrix of scenarios and the corpus of texts."""
