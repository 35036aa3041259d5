package daemon

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"cortex/cmd/api"
	"cortex/cmd/ids"
	"cortex/consumers/recorder"
	"cortex/embedded/cryptoshred"
	"cortex/events"
	"cortex/events/memlog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A preference is sealed in the log, and only its owner can forget it.
func TestUpdateMemorySealsPreferenceAndOnlyOwnerForgets(t *testing.T) {
	log := memlog.New("01940000-0000-7000-8000-0000000000ff")
	k := cryptoshred.New(t.TempDir())
	r := memoryWriter{&recorder.Recorder{Log: log, Now: time.Now, NewID: ids.New}, k}
	me := events.Actor{UID: os.Geteuid(), Program: "cortex"}
	other := events.Actor{UID: me.UID + 1, Program: "cortex"}
	at, err := r.update(t.Context(), me, api.MemoryChange{Preference: "no mail servers"})
	if err != nil || at != 1 {
		t.Fatal(at, err)
	}
	var stated events.PreferenceStated
	for rec, err := range log.Read(t.Context(), events.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(rec.Data), "mail") {
			t.Errorf("the preference is not encrypted: %s", rec.Data)
		}
		if err := json.Unmarshal(rec.Data, &stated); err != nil {
			t.Fatal(err)
		}
	}
	if text, _ := k.Unseal(me.UID, stated.Text); text != "no mail servers" {
		t.Errorf("the preference is %q", text)
	}
	if _, err := r.update(t.Context(), other, api.MemoryChange{Forget: []string{"p1"}}); !errors.Is(err, events.ErrNotFound) {
		t.Errorf("another user: %v", err)
	}
	if _, err := r.update(t.Context(), other, api.MemoryChange{ForgetAll: true}); err != nil {
		t.Error(err)
	}
	if _, ok := k.Unseal(me.UID, stated.Text); !ok {
		t.Error("another user destroyed the key")
	}
	if _, err := r.update(t.Context(), me, api.MemoryChange{Forget: []string{"p2"}}); !errors.Is(err, events.ErrNotFound) {
		t.Errorf("a position without a preference: %v", err)
	}
	if _, err := r.update(t.Context(), me, api.MemoryChange{Forget: []string{"p1", "c7"}}); err != nil {
		t.Error(err)
	}
	if _, ok := k.Unseal(me.UID, stated.Text); ok {
		t.Error("the key still exists")
	}
}
