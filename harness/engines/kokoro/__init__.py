"""The engine that runs kokoro-onnx in the worker process."""
