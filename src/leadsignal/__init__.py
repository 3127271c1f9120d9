"""Predict customer churn from leading behavioural indicators, before usage drops."""
