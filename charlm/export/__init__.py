"""Trained models as files for other programs: safetensors and ONNX."""
