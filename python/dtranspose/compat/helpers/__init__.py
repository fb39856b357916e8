"""Helpers of payloads."""
