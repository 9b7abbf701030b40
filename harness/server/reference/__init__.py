"""The project's own speech server: kokoro-onnx by sentence over HTTP, small, and true in what it says of itself."""
