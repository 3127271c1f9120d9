"""Projects proposed for a folder of exports: what each file is, and what its columns mean."""
