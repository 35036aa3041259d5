package projectiontest

import "cortex/events"

// llm lets one thing happen between the machine and models.
func (w *world) llm() {
	attempts := []events.LLMAttempt{{
		Provider: "far", Model: "m", Input: w.choose(900), Output: w.choose(900), Counted: true, Cost: int64(w.choose(9000)), Priced: true, LatencyMs: int64(w.choose(900)),
	}}
	cost := attempts[0].Cost
	w.machine(&events.LLMRequested{Task: events.TaskInstall, Question: "a web server", Prompt: string(w.id()), Bytes: 900})
	switch w.choose(4) {
	case 0:
		w.machine(&events.LLMFailed{Task: events.TaskInstall, Class: "cut-off", Reason: "the stream ended", Attempts: attempts, Cost: cost})
	case 1:
		w.machine(&events.LLMDenied{Task: events.TaskInstall, Reason: "the budget of the day", Period: "day", Limit: 10, Spent: 9, Would: 2})
	case 2:
		w.machine(&events.LLMModeChanged{From: events.ModeFull, To: events.ModeCached, Reason: "no provider answers"})
	default:
		w.machine(&events.LLMCompleted{
			Task: events.TaskInstall, Question: "a web server", Answer: "{}", Provider: "far", Model: "m",
			Scope: "s", Exact: string(w.id()), Attempts: attempts, Cost: cost,
		})
	}
}
