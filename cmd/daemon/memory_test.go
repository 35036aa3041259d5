package daemon

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"cortex/cmd/door"
	"cortex/cmd/parts"
	"cortex/consumers/scribe"
	"cortex/embedded/keys"
	"cortex/events"
	"cortex/events/memlog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// What a person says reaches the log sealed only, and only that person has it
// forgotten.
func TestWhatIsSaidIsSealedAndForgottenByItsPersonOnly(t *testing.T) {
	log := memlog.New("01940000-0000-7000-8000-0000000000ff")
	k := keys.New(t.TempDir())
	r := remembering{&scribe.Scribe{Log: log, Now: time.Now, NewID: parts.NewID}, k}
	me := events.Actor{UID: os.Geteuid(), Program: "cortex"}
	other := events.Actor{UID: me.UID + 1, Program: "cortex"}
	at, err := r.remember(t.Context(), me, door.Memo{State: "no mail servers"})
	if err != nil || at != 1 {
		t.Fatal(at, err)
	}
	var said events.MemoryStated
	for rec, err := range log.Read(t.Context(), events.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(rec.Data), "mail") {
			t.Errorf("in the clear: %s", rec.Data)
		}
		if err := json.Unmarshal(rec.Data, &said); err != nil {
			t.Fatal(err)
		}
	}
	if text, _ := k.Open(me.UID, said.Text); text != "no mail servers" {
		t.Errorf("said %q", text)
	}
	if _, err := r.remember(t.Context(), other, door.Memo{Forget: []string{"p1"}}); !errors.Is(err, events.ErrNotFound) {
		t.Errorf("another: %v", err)
	}
	if _, err := r.remember(t.Context(), other, door.Memo{ForgetAll: true}); err != nil {
		t.Error(err)
	}
	if _, ok := k.Open(me.UID, said.Text); !ok {
		t.Error("another destroyed the key")
	}
	if _, err := r.remember(t.Context(), me, door.Memo{Forget: []string{"p2"}}); !errors.Is(err, events.ErrNotFound) {
		t.Errorf("where nothing was said: %v", err)
	}
	if _, err := r.remember(t.Context(), me, door.Memo{Forget: []string{"p1", "c7"}}); err != nil {
		t.Error(err)
	}
	if _, ok := k.Open(me.UID, said.Text); ok {
		t.Error("the key is still there")
	}
}
