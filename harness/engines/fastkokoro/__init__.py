"""Another implementation of Kokoro on ONNX Runtime, as an engine."""
