"""The library that every vertex, the API and the command line share."""
