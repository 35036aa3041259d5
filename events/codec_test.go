package events_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cortex/events"
)

var addGolden = flag.Bool("add-golden", false, "write golden files for kinds that have none; existing ones are never changed")

// golden compares data with testdata/NAME, which is written once and never edited.
func golden(t *testing.T, name string, data []byte) {
	t.Helper()
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, data, "", "  "); err != nil {
		t.Fatal(err)
	}
	pretty.WriteByte('\n')
	path := filepath.Join("testdata", name)
	want, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) && *addGolden {
		if err := os.WriteFile(path, pretty.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), pretty.String()); diff != "" {
		t.Errorf("%s differs from the form that is stored under this kind (-stored +now):\n%s", name, diff)
	}
}

// TestEveryKindHasItsGoldenFile: each line of the registry has samples, and each sample
// has the form that is stored under its kind.
func TestEveryKindHasItsGoldenFile(t *testing.T) {
	facts, requests := map[events.Kind]events.Fact{}, map[events.Kind]events.Request{}
	for _, f := range sampleFacts() {
		facts[f.Kind()] = f
	}
	for _, r := range sampleRequests() {
		requests[r.Kind()] = r
	}
	for _, kind := range events.FactKinds() {
		t.Run("fact "+string(kind), func(t *testing.T) { checkFactGolden(t, kind, facts[kind]) })
	}
	for _, kind := range events.RequestKinds() {
		t.Run("request "+string(kind), func(t *testing.T) { checkRequestGolden(t, kind, requests[kind]) })
	}
	if len(facts) != len(events.FactKinds()) || len(requests) != len(events.RequestKinds()) {
		t.Errorf("samples of %d facts and %d requests, the registry has %d and %d", len(facts), len(requests), len(events.FactKinds()), len(events.RequestKinds()))
	}
}

func checkFactGolden(t *testing.T, kind events.Kind, f events.Fact) {
	if f == nil {
		t.Fatal("no sample in sample_test.go")
	}
	e, err := events.NewFactEvent(envelope(1, events.TransactionSubject(txn)), f)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "fact-"+string(kind)+".json", e.Data)
	back, err := events.DecodeStrict(e)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(f, back); diff != "" {
		t.Errorf("decoded fact differs (-want +got):\n%s", diff)
	}
	again, err := events.NewFactEvent(e, back)
	if err != nil || !bytes.Equal(again.Data, e.Data) {
		t.Errorf("encoded again: %s, %v; want %s", again.Data, err, e.Data)
	}
}

func checkRequestGolden(t *testing.T, kind events.Kind, r events.Request) {
	if r == nil {
		t.Fatal("no sample in sample_test.go")
	}
	e, err := events.NewRequestEvent(envelope(1, events.TransactionSubject(txn)), r)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "request-"+string(kind)+".json", e.Data)
	back, err := events.DecodeRequest(e)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r, back); diff != "" {
		t.Errorf("decoded request differs (-want +got):\n%s", diff)
	}
}

// TestAddedFieldsHaveTheirGoldenFile: a field that was added to a kind later has a form
// that is never edited, too.
func TestAddedFieldsHaveTheirGoldenFile(t *testing.T) {
	for _, f := range grownFacts() {
		t.Run(string(f.Kind()), func(t *testing.T) {
			e, err := events.NewFactEvent(envelope(3, events.TransactionSubject(txn)), f)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, "grown-"+string(f.Kind())+".json", e.Data)
			back, err := events.DecodeStrict(e)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(f, back); diff != "" {
				t.Errorf("decoded fact differs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEnvelopeRoundTrips(t *testing.T) {
	records, err := chain(sampleFacts()...)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		h, err := events.EncodeHeaders(r)
		if err != nil {
			t.Fatal(err)
		}
		back, err := events.DecodeHeaders(h, r.Data)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(r, back); diff != "" {
			t.Errorf("%s through headers (-want +got):\n%s", r.Kind, diff)
		}
		b, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		var structured events.Record
		if err := json.Unmarshal(b, &structured); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(r, structured); diff != "" {
			t.Errorf("%s through structured JSON (-want +got):\n%s", r.Kind, diff)
		}
	}
	b, err := json.Marshal(records[4])
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "envelope.json", b)
}

func TestDecodeIsTolerantAndDecodeStrictIsNot(t *testing.T) {
	const corrupt = "corrupt"
	for name, tc := range map[string]struct{ kind, data, decoded string }{
		"unknown kind":          {"transaction.exploded.v1", `{}`, "*events.UnknownFact"},
		"unknown version":       {"transaction.cancelled.v2", `{"why":"x"}`, "*events.UnknownFact"},
		"unknown field":         {"transaction.cancelled.v1", `{"reason":"x","extra":1}`, "*events.Cancelled"},
		"unknown nested field":  {"transaction.denied.v1", `{"rule":"r","message":"m","more":{"a":[1]}}`, "*events.Denied"},
		"request as a fact":     {"approve.requested.v1", `{"plan_id":"0123456789ab","how":"x"}`, "*events.UnknownFact"},
		"kind without version":  {"transaction.cancelled", `{}`, corrupt},
		"kind without a noun":   {"cancelled.v1", `{}`, corrupt},
		"version 0":             {"transaction.exploded.v0", `{}`, corrupt},
		"unknown kind, no JSON": {"transaction.exploded.v1", `reason`, corrupt},
		"trailing data":         {"transaction.cancelled.v1", `{} {}`, corrupt},
		"not JSON":              {"transaction.cancelled.v1", `reason`, corrupt},
		"another type":          {"transaction.cancelled.v1", `{"extra":1,"reason":7}`, corrupt},
		"kind against verb":     {"remove.requested.v1", `{"verb":"install","packages":[{"name":"cowsay"}]}`, corrupt},
		"empty":                 {"transaction.cancelled.v1", ``, corrupt},
	} {
		t.Run(name, func(t *testing.T) {
			e := envelope(1, events.TransactionSubject(txn))
			e.Kind, e.Data = events.Kind(tc.kind), []byte(tc.data)
			f, err := events.Decode(e)
			switch got := fmt.Sprintf("%T", f); {
			case tc.decoded == corrupt && !errors.Is(err, events.ErrCorrupt):
				t.Errorf("Decode: %s, %v, want a corrupt error", got, err)
			case tc.decoded != corrupt && (err != nil || got != tc.decoded):
				t.Errorf("Decode: %s, %v, want %s", got, err, tc.decoded)
			}
			if _, err := events.DecodeStrict(e); !errors.Is(err, events.ErrCorrupt) {
				t.Errorf("DecodeStrict: %v, want a corrupt error", err)
			}
			if _, err := events.DecodeRequest(e); err == nil && tc.kind != "approve.requested.v1" {
				t.Error("DecodeRequest accepted it")
			}
		})
	}
}

func TestUnknownFieldIsNamed(t *testing.T) {
	e := envelope(1, events.TransactionSubject(txn))
	e.Kind, e.Data = events.KindCancelled, []byte(`{"reason":"x","extra":1}`)
	if got := events.UnknownField(e); got != `"extra"` {
		t.Errorf("got %s", got)
	}
	f, err := events.Decode(e)
	if diff := cmp.Diff(&events.Cancelled{Reason: "x"}, f); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	e.Data = []byte(`{"reason":"x"}`)
	if got := events.UnknownField(e); got != "" {
		t.Errorf("an event without unknown fields has %s", got)
	}
}

// TestStoredDataSurviveReading: exports and --json print the data as they are stored,
// not as this version would encode them.
func TestStoredDataSurviveReading(t *testing.T) {
	for _, data := range []string{
		`{"zeta":9007199254740993,"reason":"x","alpha":{"b":1.50,"a":[null,"\u00e9"]}}`,
		`{"b":1e3,"a":"\u003ctag\u003e"}`,
	} {
		for _, kind := range []events.Kind{events.KindCancelled, "transaction.exploded.v3"} {
			e := envelope(1, events.TransactionSubject(txn))
			e.Kind, e.Data, e.CortexVersion = kind, []byte(data), "9.1.0"
			r := events.Record{Event: e, Position: 1}
			r.Hash = events.ChainHash(r.Prev, 1, e)
			b, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			b = bytes.Replace(b, []byte(`"specversion"`), []byte(`"attribute":{"of":"later"},"specversion"`), 1)
			var back events.Record
			if err := json.Unmarshal(b, &back); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(r, back); diff != "" {
				t.Errorf("%s through structured JSON (-want +got):\n%s", kind, diff)
			}
			if err := back.Verify(events.Link{}); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestParseRequestIsStrict(t *testing.T) {
	e, err := events.NewRequestEvent(envelope(1, events.TransactionSubject(txn)), &events.CancelRequest{Reason: "x"})
	if err != nil {
		t.Fatal(err)
	}
	good, err := json.Marshal(events.Record{Event: e})
	if err != nil {
		t.Fatal(err)
	}
	if got, r, err := events.ParseRequest(good); err != nil || got.ID != e.ID || r.Kind() != e.Kind {
		t.Fatalf("%v, %v, %v", got, r, err)
	}
	for name, change := range map[string][2]string{
		"kind":           {"cancel.requested.v1", "cancel.requested.v2"},
		"a fact":         {"cancel.requested.v1", "transaction.cancelled.v1"},
		"field":          {`"reason"`, `"extra":1,"reason"`},
		"attribute":      {`"specversion"`, `"extra":1,"specversion"`},
		"field of actor": {`"uid"`, `"extra":1,"uid"`},
		"form":           {`{"specversion"`, `["specversion"`},
		"data":           {`"reason":"x"`, `"reason":7`},
		"specification":  {`"1.0"`, `"2.0"`},
		"data after it":  {`"data":{"reason":"x"}}`, `"data":{"reason":"x"}} {}`},
		"source":         {"urn:cortex:host:", "urn:other:host:"},
		"subject":        {`"txn.`, `"txn`},
	} {
		bad := bytes.Replace(good, []byte(change[0]), []byte(change[1]), 1)
		if bytes.Equal(bad, good) {
			t.Fatalf("%s: the test changes nothing", name)
		}
		if _, _, err := events.ParseRequest(bad); !errors.Is(err, events.ErrUsage) {
			t.Errorf("another %s: %v, want a usage error", name, err)
		}
	}
}

func TestChainDoesNotHashCortexVersion(t *testing.T) {
	records, err := chain(cancelled)
	if err != nil {
		t.Fatal(err)
	}
	r := records[0]
	r.CortexVersion = "1.2.3"
	if err := r.Verify(events.Link{}); err != nil {
		t.Error(err)
	}
	h, err := events.EncodeHeaders(r)
	if err != nil || h["ce-cortexversion"] != "1.2.3" {
		t.Errorf("%v, %v", h, err)
	}
	back, err := events.DecodeHeaders(h, r.Data)
	if diff := cmp.Diff(r, back); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	r.CortexVersion = "1.2.3\nnats-msg-id: x"
	if err := r.Validate(); err == nil {
		t.Error("a version of two lines was accepted")
	}
}

func TestEnvelopeLimitsAtTheEdge(t *testing.T) {
	e := envelope(1, events.TransactionSubject(txn))
	e.Kind = events.KindCancelled
	e.Data = bytes.Repeat([]byte("a"), events.MaxEventBytes)
	if err := e.Validate(); err != nil {
		t.Errorf("data of MaxEventBytes: %v", err)
	}
	e.Data = append(e.Data, 'a')
	if err := e.Validate(); err == nil {
		t.Error("data of MaxEventBytes+1 was accepted")
	}
	e.Data = []byte("{}")
	e.Actor.Program = strings.Repeat("p", events.MaxHeaderBytes)
	if _, err := events.EncodeHeaders(events.Record{Event: e}); err == nil {
		t.Error("headers beyond MaxHeaderBytes were accepted")
	}
	for name, bad := range map[string]func(*events.Event){
		"id":      func(e *events.Event) { e.ID = "1" },
		"host":    func(e *events.Event) { e.Host = "../../etc" },
		"subject": func(e *events.Event) { e.Subject.ID = "a.b" },
		"wild":    func(e *events.Event) { e.Subject.ID = ">" },
		"txn":     func(e *events.Event) { e.Transaction = "x" },
		"time":    func(e *events.Event) { e.Time = time.Time{} },
		"trace":   func(e *events.Event) { e.TraceParent = "a\r\nNats-Msg-Id: x" },
	} {
		e := envelope(1, events.TransactionSubject(txn))
		bad(&e)
		if err := e.Validate(); err == nil {
			t.Errorf("a wrong %s was accepted", name)
		}
	}
}

func FuzzDecodeHeaders(f *testing.F) {
	records, err := chain(sampleFacts()...)
	if err != nil {
		f.Fatal(err)
	}
	for _, r := range records {
		h, err := events.EncodeHeaders(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(h["ce-id"], h["ce-source"], h["ce-subject"], h["ce-time"], h["ce-actor"], h["ce-originposition"], h["ce-hash"], []byte(r.Data))
	}
	f.Fuzz(func(t *testing.T, id, source, subject, when, actor, position, hash string, data []byte) {
		h := events.Headers{
			"ce-specversion": "1.0", "ce-id": id, "ce-source": source, "ce-subject": subject, "ce-time": when,
			"ce-actor": actor, "ce-originposition": position, "ce-hash": hash, "ce-prevhash": hash, "ce-type": "transaction.cancelled.v1",
		}
		r, err := events.DecodeHeaders(h, data)
		if err != nil {
			return
		}
		again, err := events.EncodeHeaders(r)
		if err != nil {
			return // larger than allowed once normalised
		}
		back, err := events.DecodeHeaders(again, data)
		if err != nil {
			t.Fatalf("the encoded headers cannot be decoded: %v", err)
		}
		if diff := cmp.Diff(r, back); diff != "" {
			t.Fatalf("not stable (-first +second):\n%s", diff)
		}
	})
}
