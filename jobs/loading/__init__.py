"""From a validated manifest to the jobs of a batch; the second time, to what differs."""
