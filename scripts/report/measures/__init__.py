"""What is measured beside the training runs: functions of their results, in plain types."""
