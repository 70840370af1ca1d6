"""The frozen pipeline, described once: vertices, edges and their settings; renders the manifests of a cluster."""
