package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// TestFollow: the file has each event once, in order, after restarts of the daemon and an
// incomplete line.
func TestFollow(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		after, _ := strconv.Atoi(r.URL.Query().Get("after"))
		fmt.Fprintln(w, `{"heartbeat":1}`)
		for p := after + 1; p <= after+3; p++ { // then the daemon exits
			fmt.Fprintf(w, `{"event":{"position":%d}}`+"\n", p)
		}
	})}
	go func() { _ = server.Serve(l) }()
	defer server.Close()
	path := filepath.Join(t.TempDir(), "facts")
	want := ""
	for round := range 3 {
		if err := Follow(t.Context(), socket, path); err == nil {
			t.Fatal("Follow returned no error")
		}
		for i := range 3 {
			want += fmt.Sprintf(`{"position":%d}`+"\n", round*3+i+1)
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != want {
			t.Fatalf("%v\n%s", err, got)
		}
		if err := os.WriteFile(path, append(got, `{"posi`...), 0o600); err != nil { // a crash
			t.Fatal(err)
		}
	}
}
