"""The types of every JSON document that enecg writes or reads."""
