"""The command that people type; what lasts is in `jobs`, and open to anyone's SQL."""
