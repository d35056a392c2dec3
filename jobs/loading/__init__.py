"""From a validated manifest to the jobs of a batch; loading again writes only what differs."""
