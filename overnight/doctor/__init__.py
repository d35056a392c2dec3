"""What is wrong with an installation: each module looks at one part of it, and changes nothing there."""
