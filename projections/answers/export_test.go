package answers

// Limited is a projection that keeps less.
func Limited(s ExtractFunc, bytes int64) Projection { return Projection{s, bytes} }
