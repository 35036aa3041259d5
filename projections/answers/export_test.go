package answers

import "cortex/projections"

// Limited is a definition with a smaller cache.
func Limited(maxBytes int64) projections.Definition { return definition(maxBytes) }
