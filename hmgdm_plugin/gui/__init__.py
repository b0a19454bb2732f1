"""The companion window: runs the command line as a process and shows what it wrote; it holds no science."""
