"""CICIDS2017 in the forms in which people have it: CSV or Parquet, whole or by day."""
