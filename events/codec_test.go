package events_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
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
		t.Errorf("%s is not what is stored under this kind (-stored +now):\n%s", name, diff)
	}
}

func TestEveryFactKindHasItsGoldenFormAndComesBackEqual(t *testing.T) {
	var seen []events.Kind
	for _, f := range sampleFacts() {
		seen = append(seen, f.Kind())
		t.Run(string(f.Kind()), func(t *testing.T) {
			e, err := events.NewFactEvent(envelope(1, events.TransactionSubject(txn)), f)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, "fact-"+string(f.Kind())+".json", e.Data)
			back, err := events.Decode(e)
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
		})
	}
	want := events.FactKinds()
	slices.Sort(want)
	slices.Sort(seen)
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Errorf("kinds without a sample (-declared +sampled):\n%s", diff)
	}
}

func TestFieldsThatCameLaterHaveTheirGoldenFormToo(t *testing.T) {
	for _, f := range grownFacts() {
		t.Run(string(f.Kind()), func(t *testing.T) {
			e, err := events.NewFactEvent(envelope(3, events.TransactionSubject(txn)), f)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, "grown-"+string(f.Kind())+".json", e.Data)
			back, err := events.Decode(e)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(f, back); diff != "" {
				t.Errorf("decoded fact differs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEveryRequestKindHasItsGoldenFormAndComesBackEqual(t *testing.T) {
	var seen []events.Kind
	for _, r := range sampleRequests() {
		seen = append(seen, r.Kind())
		t.Run(string(r.Kind()), func(t *testing.T) {
			e, err := events.NewRequestEvent(envelope(1, events.TransactionSubject(txn)), r)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, "request-"+string(r.Kind())+".json", e.Data)
			back, err := events.DecodeRequest(e)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(r, back); diff != "" {
				t.Errorf("decoded request differs (-want +got):\n%s", diff)
			}
		})
	}
	want := events.RequestKinds()
	slices.Sort(want)
	slices.Sort(seen)
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Errorf("kinds without a sample (-declared +sampled):\n%s", diff)
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

func TestWhatIsNotUnderstoodIsNotDecoded(t *testing.T) {
	good := envelope(1, events.TransactionSubject(txn))
	for name, e := range map[string]struct{ kind, data string }{
		"unknown kind":      {"transaction.exploded.v1", `{}`},
		"unknown version":   {"transaction.cancelled.v2", `{}`},
		"unknown field":     {"transaction.cancelled.v1", `{"reason":"x","extra":1}`},
		"trailing data":     {"transaction.cancelled.v1", `{} {}`},
		"not JSON":          {"transaction.cancelled.v1", `reason`},
		"kind against verb": {"remove.requested.v1", `{"verb":"install","packages":[{"name":"cowsay"}]}`},
		"empty":             {"transaction.cancelled.v1", ``},
	} {
		t.Run(name, func(t *testing.T) {
			e2 := good
			e2.Kind, e2.Data = events.Kind(e.kind), []byte(e.data)
			if _, err := events.Decode(e2); !errors.Is(err, events.ErrCorrupt) {
				t.Errorf("Decode: %v, want a corrupt error", err)
			}
			if _, err := events.DecodeRequest(e2); err == nil {
				t.Error("DecodeRequest accepted it")
			}
		})
	}
}

func TestEnvelopeLimitsHoldAtTheEdge(t *testing.T) {
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
			t.Fatalf("what was written cannot be read: %v", err)
		}
		if diff := cmp.Diff(r, back); diff != "" {
			t.Fatalf("not stable (-first +second):\n%s", diff)
		}
	})
}
