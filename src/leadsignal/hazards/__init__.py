"""The hazards that a model rests on: rows stacked by the steps ahead, learners, their blend."""
