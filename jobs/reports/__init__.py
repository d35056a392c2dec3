"""What people and scripts are shown of batches, jobs and accounts. Reads only, and locks nothing."""
