"""A finished run as ONNX: the graph, its smaller forms, and what each was measured to cost."""
