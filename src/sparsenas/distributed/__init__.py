"""Devices, and the operations that several processes do together."""
