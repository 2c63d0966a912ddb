"""What the fuzz targets of the engine begin with (`hack/lib/fuzz`)."""
