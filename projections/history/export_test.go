package history

// The queries, for the test of their query plans.
const (
	Undoable      = undoableQuery + `x.verb <> 'undo' ORDER BY x.ended_position DESC LIMIT 1`
	ByPlan        = byPlanQuery
	LaterTouching = laterOverlappingQuery
	ParkedQuery   = handlerDeadLettersQuery
)

// Query is the query of a filter.
func (f Filter) Query() (string, []any) { return f.sql() }
