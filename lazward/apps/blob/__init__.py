"""Blob and ADLS Gen2 wire protocol."""
