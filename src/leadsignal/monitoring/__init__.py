"""Past scores and feeds watched: what shifted, what fell silent, what came true."""
