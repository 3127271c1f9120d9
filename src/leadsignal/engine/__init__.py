"""SQL steps that build adoption episodes and the panel, and the engines that run them."""
