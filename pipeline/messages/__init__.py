"""What travels on the edges and what is signed in the store: versioned, canonical, pinned by golden files."""
