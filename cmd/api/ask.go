package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"

	"cortex/consumers/llm/router"
	"cortex/events"
)

// AskLine is one line of the answer to a question. Exactly one field is set. A line with
// a reply or an error ends the stream.
type AskLine struct {
	Delta *router.Delta   `json:"delta,omitempty"`
	Reply *events.Reply   `json:"reply,omitempty"`
	Error *events.Failure `json:"error,omitempty"`
}

// ModelProvidersStatus is the state of the model providers.
type ModelProvidersStatus struct {
	Mode      events.LLMMode          `json:"mode"`
	Problem   string                  `json:"problem,omitempty"` // with the settings
	Providers []router.ProviderHealth `json:"providers"`
	Probes    []ProbeResult           `json:"probes,omitempty"`
}

// ProbeResult is the result of probing one provider.
type ProbeResult struct {
	Name  string `json:"name"`
	Error string `json:"error,omitempty"`
}

// postAsk streams the answer. It cancels the question when the caller disconnects.
func (srv *SocketServer) postAsk(w http.ResponseWriter, r *http.Request, who events.Actor) error {
	var q events.Question
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		return &events.Error{Op: "api.postAsk", Kind: events.ErrUsage, Err: fmt.Errorf("not a question: %w", err)}
	}
	if err := q.Validate(); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.WriteHeader(http.StatusOK)
	var mu sync.Mutex
	out := json.NewEncoder(w)
	write := func(l AskLine) {
		mu.Lock()
		defer mu.Unlock()
		if out.Encode(l) == nil {
			w.(http.Flusher).Flush()
		}
	}
	reply, err := srv.backend.Ask(r.Context(), who, q, func(delta router.Delta) { write(AskLine{Delta: &delta}) })
	if err != nil {
		f := events.FailureOf(err)
		write(AskLine{Error: &f})
		return nil
	}
	write(AskLine{Reply: &reply})
	return nil
}

func (srv *SocketServer) getModels(w http.ResponseWriter, r *http.Request, _ events.Actor) error {
	m, err := srv.backend.ModelProvidersStatus(r.Context(), r.FormValue("probe") == "true")
	if err != nil {
		return err
	}
	return writeJSON(w, m)
}
