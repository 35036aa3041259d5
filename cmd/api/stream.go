package api

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"cortex/events"
)

// getEvents streams facts and the progress of one transaction.
func (srv *SocketServer) getEvents(w http.ResponseWriter, r *http.Request, _ events.Actor) error {
	after, err := parsePosition(r, "after")
	if err != nil {
		return err
	}
	txn := events.TransactionID(r.FormValue("transaction"))
	q := events.Query{After: after}
	if txn != "" {
		if err := txn.Validate(); err != nil {
			return &events.Error{Op: "api.getEvents", Kind: events.ErrUsage, Subject: "transaction", Err: err}
		}
		// A dead letter belongs to the transaction of the message.
		q.Filters = []string{
			events.FactFilter(srv.backend.Host(), events.TransactionSubject(txn)),
			events.KindFilter(srv.backend.Host(), events.KindDeadLettered),
		}
	}
	s := eventStream{w: w, encode: json.NewEncoder(w), kind: r.FormValue("kind"), transaction: txn}
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.WriteHeader(http.StatusOK)
	if r.FormValue("follow") != "true" {
		for rec, err := range srv.backend.Read(r.Context(), q) {
			if !s.writeRecord(rec, err) {
				break
			}
		}
		return nil
	}
	s.flush()
	srv.followEvents(r.Context(), &s, q)
	return nil
}

// followEvents merges facts, progress and heartbeats into one stream. Each source has a
// goroutine; only this one writes.
func (srv *SocketServer) followEvents(ctx context.Context, s *eventStream, q events.Query) {
	ctx, cancel := context.WithCancel(ctx)
	type item struct {
		rec      events.Record
		err      error
		progress *events.Progress
	}
	items := make(chan item)
	sources := 1
	ended := make(chan struct{}, 2)
	send := func(i item) bool {
		select {
		case items <- i:
			return true
		case <-ctx.Done():
			return false
		}
	}
	go func() {
		defer func() { ended <- struct{}{} }()
		for rec, err := range srv.backend.Follow(ctx, q) {
			if !send(item{rec: rec, err: err}) || err != nil {
				return
			}
		}
	}()
	if s.transaction != "" {
		sources++
		go func() {
			defer func() { ended <- struct{}{} }()
			for p := range srv.backend.Progress(ctx, s.transaction) {
				if !send(item{progress: &p}) {
					return
				}
			}
		}()
	}
	defer func() {
		cancel()
		for range sources {
			<-ended
		}
	}()
	beat := time.NewTicker(heartbeatEvery)
	defer beat.Stop()
	for {
		ok := true
		select {
		case <-ctx.Done():
			return
		case i := <-items:
			if i.progress != nil {
				ok = s.writeLine(StreamLine{Progress: i.progress})
			} else {
				ok = s.writeRecord(i.rec, i.err)
			}
		case <-beat.C:
			head, err := srv.backend.Head(ctx)
			if err != nil {
				head = events.Link{}
			}
			ok = s.writeLine(StreamLine{Heartbeat: max(1, head.Position)})
		}
		if !ok {
			return
		}
		s.flush()
	}
}

// eventStream writes the lines of one response.
type eventStream struct {
	w           http.ResponseWriter
	encode      *json.Encoder
	kind        string
	transaction events.TransactionID
}

func (s *eventStream) writeRecord(rec events.Record, err error) bool {
	if err != nil {
		f := events.FailureOf(err)
		s.writeLine(StreamLine{Error: &f})
		return false
	}
	if s.transaction != "" && rec.Transaction != s.transaction || s.kind != "" && !rec.Kind.Match(s.kind) {
		return true
	}
	return s.writeLine(NewEventLine(rec))
}

func (s *eventStream) writeLine(l StreamLine) bool { return s.encode.Encode(l) == nil }

func (s *eventStream) flush() {
	if f, ok := s.w.(http.Flusher); ok {
		f.Flush()
	}
}
