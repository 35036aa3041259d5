package answers

// Limited is a projection that keeps less.
func Limited(s Source, bytes int64) Projection { return Projection{s, bytes} }
