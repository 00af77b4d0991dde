"""Container images without a daemon: archives checked before anything reads them, bills of materials by syft, engines where
there are some, and layouts assembled from a service's files where there are none."""
