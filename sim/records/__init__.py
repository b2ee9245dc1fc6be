"""What a run writes down: the tables' columns, the writer, the run directory, and reading back.

Belongs here: `schema` (every column, once), `writer` (rows to Parquet, bounded memory), `directory`
(where a run lives and what is beside its tables), `reader` (tables as Arrow, for summary and report).
Does not: anything that knows the simulator, and anything that draws or averages.
"""
