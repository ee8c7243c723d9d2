"""What is true: papers, the archive that keeps them, and the words everything else speaks in."""
