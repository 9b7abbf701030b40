"""What is measured: engines behind one protocol. An engine synthesises; it keeps no figures and knows no scenario."""
