"""From a file that a person wrote to rows that can be bought: read, check everything, report every mistake at once."""
