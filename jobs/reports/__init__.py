"""What people and scripts are told of batches, jobs and accounts. Reads only, and locks nothing."""
