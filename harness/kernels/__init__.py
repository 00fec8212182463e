"""Fused operators of torch_npu in plain PyTorch: one file each."""
