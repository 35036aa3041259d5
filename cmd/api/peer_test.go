package api

import (
	"net/http"
	"testing"

	"cortex/events"
)

func TestRootHeadersAreAcceptedFromRootOnly(t *testing.T) {
	h := http.Header{}
	h.Set(HeaderTTY, "pts/3\n")
	h.Set(HeaderSudoUser, "alice")
	root := events.Actor{UID: 0}
	addRootHeaders(&root, h)
	if root.TTY != "pts/3?" || root.SudoUser != "alice" {
		t.Errorf("%+v", root)
	}
	seen := events.Actor{UID: 0, TTY: "pts/1", SudoUser: "bob"}
	addRootHeaders(&seen, h)
	if seen.TTY != "pts/1" || seen.SudoUser != "bob" {
		t.Errorf("headers replaced the values of /proc: %+v", seen)
	}
	other := events.Actor{UID: 1000}
	addRootHeaders(&other, h)
	if other.TTY != "" || other.SudoUser != "" {
		t.Errorf("headers of another user were accepted: %+v", other)
	}
}
