"""The embedding store: Parquet shards on disk, addressed by what made them."""
