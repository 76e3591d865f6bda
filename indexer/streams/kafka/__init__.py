"""A log in Kafka, or whatever speaks its protocol."""
