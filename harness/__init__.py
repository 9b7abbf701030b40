"""The laboratory: plans, measures, stores, derives and judges Kokoro's synthesis on ONNX Runtime."""
