"""ONNX graphs of a model, and a script that uses them without PyTorch."""
