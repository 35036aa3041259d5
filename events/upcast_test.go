package events

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

// rebooted is a made-up kind in its second version: the first had the reason as text,
// the second has a list.
type rebooted struct {
	Reasons []string `json:"reasons"`
}

func (*rebooted) Kind() Kind { return "machine.rebooted.v2" }
func (*rebooted) fact()      {}

// upcastRebooted turns machine.rebooted.v1 into machine.rebooted.v2.
func upcastRebooted(data json.RawMessage) (json.RawMessage, error) {
	var v1 struct {
		Reason string `json:"reason"`
	}
	if err := json.Unmarshal(data, &v1); err != nil {
		return nil, err
	}
	return json.Marshal(rebooted{Reasons: strings.Split(v1.Reason, ", ")})
}

// rebootLines are the two lines that the made-up kind has in the registry.
func rebootLines() []KindEntry {
	return []KindEntry{
		{Kind: "machine.rebooted.v1", Upcast: &Upcaster{To: "machine.rebooted.v2", Data: upcastRebooted}, Noun: nounMachine, Appenders: []string{"x"}, Readers: []string{"x"}, Undo: UndoIgnores},
		{Kind: "machine.rebooted.v2", Fact: func() Fact { return &rebooted{} }, Noun: nounMachine, Appenders: []string{"x"}, Readers: []string{"x"}, Undo: UndoIgnores},
	}
}

func TestUpcasterTurnsAnOldVersionIntoTheLatest(t *testing.T) {
	r, err := newRegistry(append(rebootLines(), entries...))
	if err != nil {
		t.Fatal(err)
	}
	for kind, data := range map[Kind]string{
		"machine.rebooted.v1": `{"reason":"kernel, microcode"}`,
		"machine.rebooted.v2": `{"reasons":["kernel","microcode"]}`,
	} {
		e := Event{Kind: kind, Data: json.RawMessage(data)}
		f, field, err := r.decode(e)
		got, ok := f.(*rebooted)
		if err != nil || !ok || field != "" || len(got.Reasons) != 2 || got.Reasons[1] != "microcode" {
			t.Errorf("%s: %+v, %s, %v", kind, f, field, err)
		}
		if string(e.Data) != data || e.Kind != kind {
			t.Errorf("%s: the stored event was changed to %s %s", kind, e.Kind, e.Data)
		}
	}
	if _, _, err := r.decode(Event{Kind: "machine.rebooted.v1", Data: json.RawMessage(`{"reason":7}`)}); !errors.Is(err, ErrCorrupt) {
		t.Errorf("data that cannot be upcast: %v, want a corrupt error", err)
	}
}

func TestRegistryRefusesIncompleteLines(t *testing.T) {
	for name, change := range map[string]func([]KindEntry) []KindEntry{
		"no form":          func(l []KindEntry) []KindEntry { l[1].Fact = nil; return l },
		"two forms":        func(l []KindEntry) []KindEntry { l[0].Fact = l[1].Fact; return l },
		"no noun":          func(l []KindEntry) []KindEntry { l[1].Noun = ""; return l },
		"no appender":      func(l []KindEntry) []KindEntry { l[1].Appenders = nil; return l },
		"no reader":        func(l []KindEntry) []KindEntry { l[1].Readers = nil; return l },
		"no need of undo":  func(l []KindEntry) []KindEntry { l[1].Undo = ""; return l },
		"twice":            func(l []KindEntry) []KindEntry { return append(l, l[1]) },
		"malformed kind":   func(l []KindEntry) []KindEntry { l[1].Kind = "machine.rebooted"; return l },
		"upcast to itself": func(l []KindEntry) []KindEntry { l[0].Upcast.To = l[0].Kind; return l },
		"upcast to none":   func(l []KindEntry) []KindEntry { return l[:1] },
	} {
		if _, err := newRegistry(change(rebootLines())); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := newRegistry(rebootLines()); err != nil {
		t.Error(err)
	}
}
