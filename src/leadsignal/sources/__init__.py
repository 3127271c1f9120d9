"""Where rows come from: files and frames, each as parts that the store can read."""
