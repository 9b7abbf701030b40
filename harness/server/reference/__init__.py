"""The project's speech server: kokoro-onnx over HTTP, sentence by sentence, with accurate statistics."""
