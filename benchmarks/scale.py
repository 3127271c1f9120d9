"""Time and memory of the panel and of scores for 1 M accounts, each job in a fresh process.

Two years of behaviour events, usage and tickets of accounts that start and end throughout; the
panel has a row an account each 28 days and is written as Parquet. Jobs: reading and checking, the
whole panel, a model from a sample of its rows, scores of all accounts active at the end.

    python benchmarks/scale.py [--events 1e6 1e7 1e8] [--memory 4GB] [--threads 2]
"""
