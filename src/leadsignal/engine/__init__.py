"""The SQL that builds adoption episodes and the panel, and the engines that run it."""
