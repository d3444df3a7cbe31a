"""One network trained by several processes: a master and its workers, over MPI."""
