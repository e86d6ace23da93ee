"""Agents under temptation: a simulated world with tools, scenario families, and the loop, all of it pure."""
