"""ONNX models with integers: of 8 bits by calibration, or those of searched bit widths; knows no run folder."""
