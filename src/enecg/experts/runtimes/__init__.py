"""How experts' networks are run: torch, ONNX Runtime, OpenVINO."""
