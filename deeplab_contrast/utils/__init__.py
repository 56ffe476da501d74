"""The outside world: files, processes, devices. Knows no segmentation."""
