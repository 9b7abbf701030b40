"""Another implementation of Kokoro, in C++ with an ONNX Runtime of its own, as an engine."""
