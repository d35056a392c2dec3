"""An API to rehearse against: a Replicate-compatible server with a ledger and faults, a program of its own."""
