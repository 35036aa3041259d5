package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"cortex/events"
)

// requestStore is a Daemon that counts the submitted requests.
type requestStore struct {
	Daemon
	stored int
}

func (s *requestStore) MayChange(int) bool  { return true }
func (s *requestStore) Host() events.HostID { return "01940000-0000-7000-8000-000000000001" }
func (s *requestStore) Submit(context.Context, events.Event) (events.Position, error) {
	s.stored++
	return 1, nil
}

func TestPostRequestRefusesUnknownParts(t *testing.T) {
	id := events.ID("01940000-0000-7000-8000-0000000000aa")
	e, err := events.NewRequestEvent(events.Event{
		ID: id, Host: "01940000-0000-7000-8000-000000000001", Subject: events.TransactionSubject(events.TransactionID(id)),
		Time: time.Unix(1, 0), Actor: events.Actor{Program: "cortex"},
	}, &events.CancelRequest{Reason: "x"})
	if err != nil {
		t.Fatal(err)
	}
	good, err := json.Marshal(events.Record{Event: e})
	if err != nil {
		t.Fatal(err)
	}
	store := &requestStore{}
	post := func(body []byte) error {
		s := &SocketServer{backend: store}
		return s.postRequest(httptest.NewRecorder(), httptest.NewRequest("POST", "/v1/requests", bytes.NewReader(body)), events.Actor{})
	}
	for name, change := range map[string][2]string{
		"kind":      {"cancel.requested.v1", "pause.requested.v1"},
		"version":   {"cancel.requested.v1", "cancel.requested.v2"},
		"field":     {`"reason"`, `"extra":1,"reason"`},
		"attribute": {`"specversion"`, `"extra":1,"specversion"`},
	} {
		if err := post([]byte(strings.Replace(string(good), change[0], change[1], 1))); !errors.Is(err, events.ErrUsage) {
			t.Errorf("unknown %s: %v, want a usage error", name, err)
		}
	}
	if store.stored != 0 {
		t.Errorf("%d requests were stored", store.stored)
	}
	if err := post(good); err != nil || store.stored != 1 {
		t.Errorf("a valid request: %v, %d stored", err, store.stored)
	}
}

// Clients of the first versions refuse an event with an unknown attribute. The version is
// therefore beside the event.
func TestEventLineIsReadByOldClients(t *testing.T) {
	r := events.Record{Event: events.Event{
		ID: "01940000-0000-7000-8000-000000000009", Kind: events.KindCancelled, Host: "01940000-0000-7000-8000-000000000001",
		Subject: events.TransactionSubject("01940000-0000-7000-8000-0000000000aa"), Time: time.Unix(1, 0).UTC(), CortexVersion: "9.1.0", Data: []byte(`{}`),
	}}
	b, err := json.Marshal(NewEventLine(r))
	if err != nil {
		t.Fatal(err)
	}
	var raw struct{ Event map[string]any }
	if err := json.Unmarshal(b, &raw); err != nil || raw.Event["cortexversion"] != nil || raw.Event["id"] == nil {
		t.Errorf("%s, %v", b, err)
	}
	var l StreamLine
	if err := json.Unmarshal(b, &l); err != nil || l.Event == nil || l.Event.CortexVersion != "9.1.0" {
		t.Errorf("%+v, %v", l.Event, err)
	}
}
