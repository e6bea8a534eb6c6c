"""Executors: where makes run when not in this process.

A member of this family takes a function and batches of keys, and yields what the function returned for each batch. It knows nothing of
tables or databases. `processes` starts worker processes on this machine; `futures` hands batches to any `concurrent.futures.Executor`
(dask, loky, a pool on a cluster); `shipping` is how a table class travels to where the work is. Each is imported by its own name, when
makes are to run elsewhere: multiprocessing costs a fifth of what compdb adds to the start of a script.
"""
