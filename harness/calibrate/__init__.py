"""From differences between correct results to limits: runs nothing, judges nothing, reads no files."""
