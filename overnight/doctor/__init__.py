"""Find out what is wrong with an installation: each module checks one part and changes nothing."""
