package projectiontest

import "cortex/events"

// llm records a request to a language model and its result.
func (w *historyGenerator) llm() {
	attempts := []events.LLMAttempt{{
		Provider: "far", Model: "m", InputTokens: w.choose(900), OutputTokens: w.choose(900), TokensReported: true, Cost: int64(w.choose(9000)), PriceKnown: true, LatencyMs: int64(w.choose(900)),
	}}
	cost := attempts[0].Cost
	w.appendMachineFact(&events.LLMRequested{Task: events.TaskInstall, Question: "a web server", PromptHash: string(w.id()), PromptBytes: 900})
	switch w.choose(4) {
	case 0:
		w.appendMachineFact(&events.LLMFailed{Task: events.TaskInstall, Class: "cut-off", Reason: "the stream ended", Attempts: attempts, Cost: cost})
	case 1:
		w.appendMachineFact(&events.LLMDenied{Task: events.TaskInstall, Reason: "the budget of the day", Period: "day", Limit: 10, Spent: 9, EstimatedCost: 2})
	case 2:
		w.appendMachineFact(&events.LLMModeChanged{From: events.ModeFull, To: events.ModeCached, Reason: "no provider answers"})
	default:
		w.appendMachineFact(&events.LLMCompleted{
			Task: events.TaskInstall, Question: "a web server", Answer: "{}", Provider: "far", Model: "m",
			Scope: "s", ExactKey: string(w.id()), Attempts: attempts, Cost: cost,
		})
	}
}
